"""Both layers in six numbers and one sentence."""

from dataclasses import dataclass

from paceline.contracts.records import Figures, PoolFigures
from paceline.text import count


@dataclass(slots=True)
class Totals:
    """Both layers over all workers, now, and the most that was seen of each.

    Attributes:
        roadmaps: roadmaps being worked on.
        concepts: concepts in flight.
        calls: LLM calls in flight.
        connections: database connections in use.
        limit: database connections that all pools may open.
        events: events per second.
    """

    roadmaps: int = 0
    concepts: int = 0
    calls: int = 0
    connections: int = 0
    limit: int = 0
    events: float = 0.0

    def add(self, figures: Figures, pool_max: int) -> None:
        """Count one worker."""
        self.roadmaps += len(figures.runs)
        self.concepts += figures.concepts
        self.calls += figures.calls
        self.connections += figures.connections
        self.limit += pool_max
        self.events += figures.events_per_second

    def raise_to(self, other: "Totals") -> None:
        """Keep the larger of each figure."""
        self.roadmaps = max(self.roadmaps, other.roadmaps)
        self.concepts = max(self.concepts, other.concepts)
        self.calls = max(self.calls, other.calls)
        self.connections = max(self.connections, other.connections)
        self.limit = max(self.limit, other.limit)
        self.events = max(self.events, other.events)

    def sentence(self) -> str:
        """Both layers in one line."""
        return (
            f"{count(self.roadmaps, 'roadmap')} running · "
            f"{count(self.concepts, 'concept')} in flight · {count(self.calls, 'LLM call')} · "
            f"{self.connections} of {count(self.limit, 'DB connection')} · "
            f"{count(round(self.events), 'event')}/s"
        )


def totals_here(figures: Figures, pool: PoolFigures) -> Totals:
    """The totals of this process alone."""
    totals = Totals()
    totals.add(figures, pool.limit)
    return totals
