"""Both layers at a glance: what every worker does, what waits, and why the numbers are so."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

from paceline.client.totals import Totals
from paceline.contracts.executor import Executor, WorkerLoad
from paceline.contracts.records import Budget, Run, WorkerRecord
from paceline.contracts.store import Store
from paceline.errors import PacelineError
from paceline.text import count

#: Unfinished runs that are looked at; beyond them the totals say "at least".
MOST_RUNS = 1000
#: Seconds that the queue may take to tell what its workers hold.
PATIENCE = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """One worker process, from its own last beat and from the queue.

    Attributes:
        worker_id: its id, or its name in the queue where it is not registered.
        host: its machine.
        pid: its process.
        executor: the executor it serves.
        active: runs it works on.
        reserved: runs it took from the queue and has not begun.
        concurrency: runs it works on at once.
        concepts: concepts in flight.
        calls: LLM calls in flight.
        connections: database connections in use.
        pool_max: database connections it may open.
        events_per_second: progress events published.
        strategy: what its strategy says of itself.
        beat_age: seconds since its last beat; ``None`` if it never beat.
    """

    worker_id: str
    host: str
    pid: int | None
    executor: str
    active: tuple[str, ...]
    reserved: tuple[str, ...] = ()
    concurrency: int
    concepts: int = 0
    calls: int = 0
    connections: int = 0
    pool_max: int = 0
    events_per_second: float = 0.0
    strategy: str = ""
    beat_age: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """What ``paceline status`` shows.

    Attributes:
        workers: every live worker.
        totals: their sums.
        budget: the database's connections.
        runs: unfinished runs, newest first.
        more_runs: whether there are more of them than were looked at.
        unreachable: parts that did not answer, in words.
    """

    workers: Sequence[WorkerStatus]
    totals: Totals
    budget: Budget
    runs: Sequence[Run]
    more_runs: bool = False
    unreachable: Sequence[str] = field(default_factory=tuple[str, ...])

    def why(self) -> str:
        """One sentence: why so many concepts are in flight."""
        return _why(self)

    def to_json(self) -> dict[str, object]:
        """All of it, for machines; the names are stable."""
        return {
            "workers": [asdict(worker) for worker in self.workers],
            "totals": asdict(self.totals),
            "database": {
                "max_connections": self.budget.server_max,
                "reserve": self.budget.reserve,
                "registered": self.budget.registered,
                "in_use": self.totals.connections,
            },
            "runs": [run_to_json(run) for run in self.runs],
            "more_runs": self.more_runs,
            "unreachable": list(self.unreachable),
            "why": self.why(),
        }


def run_to_json(run: Run) -> dict[str, object]:
    """A run for ``--json``; the names are stable, times are ISO 8601 in UTC."""

    def at(moment: datetime | None) -> str | None:
        return None if moment is None else moment.isoformat()

    return {
        "run_id": run.run_id,
        "roadmap_id": run.roadmap_id,
        "title": run.title,
        "status": run.status,
        "reason": run.reason,
        "executor": run.executor,
        "tenant": run.share.tenant or None,
        "weight": run.share.weight,
        "total": run.total,
        "completed": run.completed,
        "failed": run.failed,
        "owner": run.owner,
        "cancel_requested": run.cancel_requested,
        "created_at": at(run.created_at),
        "started_at": at(run.started_at),
        "finished_at": at(run.finished_at),
    }


async def cluster_status(store: Store, executor: Executor | None) -> ClusterStatus:
    """Ask store and queue; a queue that is away is named, and the store's part stands.

    Args:
        store: where runs and workers are registered.
        executor: whose queue to ask; ``None`` if it could not be made.

    Raises:
        PartUnavailable: the store cannot be reached.
    """
    unreachable: list[str] = []
    loads: Sequence[WorkerLoad] = ()
    queued: int | None = None
    if executor is not None:
        try:
            async with asyncio.timeout(PATIENCE):
                loads, queued = await asyncio.gather(executor.inspect(), executor.queued())
        except PacelineError as error:
            unreachable.append(str(error))
        except TimeoutError:
            unreachable.append(f"the queue did not answer within {PATIENCE:g} s")
    records = await store.workers()
    runs = await store.runs(status=("queued", "running"), limit=MOST_RUNS + 1)
    workers = _merged([_view(record) for record in records], loads)
    waiting = sum(run.status == "queued" for run in runs[:MOST_RUNS])
    reserved = sum(len(worker.reserved) for worker in workers)
    return ClusterStatus(
        workers=workers,
        totals=Totals(
            roadmaps_active=sum(len(worker.active) for worker in workers),
            roadmaps_reserved=reserved,
            roadmaps_queued=max(0, waiting - reserved) if queued is None else queued,
            concurrency=sum(worker.concurrency for worker in workers),
            concepts=sum(worker.concepts for worker in workers),
            calls=sum(worker.calls for worker in workers),
            connections=sum(worker.connections for worker in workers),
            connections_max=sum(worker.pool_max for worker in workers),
            events_per_second=round(sum(worker.events_per_second for worker in workers), 1),
        ),
        budget=await store.budget(),
        runs=runs[:MOST_RUNS],
        more_runs=len(runs) > MOST_RUNS,
        unreachable=tuple(unreachable),
    )


def _view(record: WorkerRecord) -> WorkerStatus:
    figures = record.figures
    return WorkerStatus(
        worker_id=record.worker_id,
        host=record.identity.host,
        pid=record.identity.pid,
        executor=record.executor,
        active=figures.runs,
        concurrency=record.concurrency,
        concepts=figures.concepts,
        calls=figures.calls,
        connections=figures.connections,
        pool_max=record.pool_max,
        events_per_second=round(figures.events_per_second, 1),
        strategy=figures.strategy,
        beat_age=round(record.beat_age, 1),
    )


def _merged(workers: list[WorkerStatus], loads: Sequence[WorkerLoad]) -> list[WorkerStatus]:
    """Put what the queue's workers reserved beside what they do.

    One worker of the queue may be several of our processes; the runs they work on tell which.
    """
    for load in loads:
        active = set(load.active)
        place = next(
            (i for i, one in enumerate(workers) if active & set(one.active)),
            next((i for i, one in enumerate(workers) if one.worker_id in load.name), None),
        )
        if place is not None:
            found = workers[place]
            workers[place] = replace(found, reserved=(*found.reserved, *load.reserved))
        elif load.reserved or load.active or not workers:
            # It works, but its beats do not arrive, or it has just begun.
            workers.append(
                WorkerStatus(
                    worker_id=load.name,
                    host=load.name.partition("@")[2],
                    pid=None,
                    executor="",
                    active=load.active,
                    reserved=load.reserved,
                    concurrency=load.concurrency,
                )
            )
    return workers


def _why(view: ClusterStatus) -> str:
    totals = view.totals
    waiting = totals.roadmaps_queued
    if not view.workers:
        if not waiting:
            return "No worker runs and no roadmap waits."
        return f"No worker runs: {count(waiting, 'roadmap')} waiting. Start one: paceline worker"
    if not totals.roadmaps_active:
        return f"{count(len(view.workers), 'worker')} idle; {count(waiting, 'roadmap')} waiting."
    strategies = sorted({worker.strategy for worker in view.workers if worker.active})
    said = " | ".join(strategies) or "strategy not known"
    reserved = totals.roadmaps_reserved
    prefetch = (
        f"{count(reserved, 'roadmap')} reserved by workers (prefetched), none of them begun"
        if reserved
        else "this is not prefetching: 0 roadmaps reserved"
    )
    return (
        f"{count(totals.roadmaps_active, 'roadmap')} active (concurrency {totals.concurrency} "
        f"counts roadmaps) × their concepts ({said}) = "
        f"{count(totals.concepts, 'concept')} in flight, "
        f"{totals.calls} of them in an LLM call; {prefetch}."
    )
