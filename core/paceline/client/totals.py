"""The figures of all workers, in a few numbers and one sentence."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self

from paceline.contracts.storage.records import Figures, WorkerRecord
from paceline.contracts.storage.store import Store
from paceline.text import count


@dataclass(slots=True, kw_only=True)
class Totals:
    """Sums over workers.

    Attributes:
        roadmaps_active: runs that workers work on.
        roadmaps_reserved: runs that workers took from the queue and have not started.
        roadmaps_queued: runs that wait for a worker.
        concurrency: maximum number of runs that all workers work on at once.
        concepts: concepts in flight.
        calls: LLM calls in flight.
        connections: database connections in use.
        connections_max: maximum number of database connections of all pools.
        events_per_second: progress events published per second.
        fallbacks: answers of fallback models since the workers started.
        waiting: concepts, calls and uses of resources that wait for admission.
    """

    roadmaps_active: int = 0
    roadmaps_reserved: int = 0
    roadmaps_queued: int = 0
    concurrency: int = 0
    concepts: int = 0
    calls: int = 0
    connections: int = 0
    connections_max: int = 0
    events_per_second: float = 0.0
    fallbacks: int = 0
    waiting: int = 0

    @classmethod
    def over(cls, workers: Iterable[WorkerRecord]) -> Self:
        """Sum up the figures of the workers' last heartbeats."""
        totals = cls()
        for worker in workers:
            totals.add(worker.figures, worker.pool_max)
            totals.concurrency += worker.concurrency
        return totals

    @classmethod
    async def read(cls, store: Store) -> Self:
        """Sum up the figures of all live workers of a store."""
        return cls.over(await store.workers())

    def add(self, figures: Figures, connections_max: int) -> None:
        """Add the figures of one worker process."""
        self.roadmaps_active += len(figures.runs)
        self.concepts += figures.concepts
        self.calls += figures.calls
        self.connections += figures.connections
        self.connections_max += connections_max
        self.events_per_second += figures.events_per_second
        self.fallbacks += figures.fallbacks
        self.waiting += figures.waiting

    def raise_to(self, other: "Totals") -> None:
        """Keep the larger of each number."""
        for field in fields(self):
            larger = max(getattr(self, field.name), getattr(other, field.name))
            setattr(self, field.name, larger)

    def sentence(self) -> str:
        """The figures in one line."""
        return (
            f"{count(self.roadmaps_active, 'roadmap')} running · "
            f"{count(self.concepts, 'concept')} in flight · {count(self.calls, 'LLM call')} · "
            f"{self.connections} of {count(self.connections_max, 'DB connection')} · "
            f"{count(round(self.events_per_second), 'event')}/s"
        )
