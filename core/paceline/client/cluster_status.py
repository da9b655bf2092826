"""Both layers over all workers: running and waiting roadmaps, concepts in flight, and why."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

from paceline.client.totals import Totals
from paceline.contracts.admission.limit_figures import LimitFigures, summed_up
from paceline.contracts.controls import Controls, Pause
from paceline.contracts.executor import Executor, WorkerLoad
from paceline.contracts.storage.outbox import SinkFigures
from paceline.contracts.storage.records import Budget, Run, RunStatus, WorkerRecord
from paceline.contracts.storage.store import Store
from paceline.errors import PacelineError
from paceline.plugins.registry import Plugins
from paceline.settings.load import options_for
from paceline.settings.model import Settings
from paceline.text import count

#: Statuses of runs that have not ended.
UNFINISHED: tuple[RunStatus, ...] = ("queued", "running", "paused")
#: Maximum number of unfinished runs to read; ``more_runs`` says whether there are more.
MAX_RUNS = 1000
#: The share of a limit from which on it holds work back.
_FULL = 0.9
#: Maximum number of seconds to wait for the queue.
PATIENCE = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """One worker process, as its last beat and the queue describe it.

    Attributes:
        worker_id: the worker's id; its name in the queue if it is not registered.
        host: name of its host.
        pid: its process id.
        executor: the executor that it works for.
        active: ids of the runs that it works on.
        reserved: ids of the runs that it took from the queue and has not started.
        concurrency: maximum number of runs at once.
        concepts: concepts in flight.
        calls: LLM calls in flight.
        connections: database connections in use.
        pool_max: maximum number of its database connections.
        events_per_second: progress events published per second.
        strategy: its strategies' own description of their limits.
        beat_age: seconds since its last beat; ``None`` if it is not registered.
        trouble: why calls of its runs wait, in the provider's words, by run id.
        version: version of paceline that it runs; empty if it is unknown.
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
    trouble: Mapping[str, str] = field(default_factory=dict[str, str])
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LostRun:
    """A running run without a live worker.

    Attributes:
        run_id: the run.
        recovered_in: seconds until a worker of its executor may take it over; 0 means that the
            next search of such a worker does.
        executor: its executor.
        workers: number of live workers of that executor.
    """

    run_id: str
    recovered_in: float
    executor: str
    workers: int

    def sentence(self) -> str:
        """What happened, what comes next, and the command that continues the run now."""
        if self.workers:
            when = (
                "a worker takes it over within seconds"
                if not self.recovered_in
                else f"a worker takes it over when its lease ends, in {self.recovered_in:.0f} s"
            )
        else:
            when = f"no {self.executor} worker is running that could take it over"
        then = "" if self.workers else ", then paceline worker"
        return (
            f"run {self.run_id} has lost its worker; {when}. "
            f"To continue it now: paceline resume {self.run_id}{then}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """What ``paceline status`` shows.

    Attributes:
        workers: every live worker.
        totals: the sums over the workers.
        budget: the connections of the database.
        runs: unfinished runs, newest first.
        more_runs: whether there are more unfinished runs than ``runs`` holds.
        unreachable: one message per part that did not answer.
        lost: running runs without a live worker.
        sinks: what waits for each sink.
        left: seconds until each running run ends, if that is known.
        pauses: what operators and tenants have paused.
        limits: the limits of strategies and resources, summed up over the workers.
    """

    workers: Sequence[WorkerStatus]
    totals: Totals
    budget: Budget
    runs: Sequence[Run]
    more_runs: bool = False
    unreachable: Sequence[str] = field(default_factory=tuple[str, ...])
    lost: Sequence[LostRun] = field(default_factory=tuple[LostRun, ...])
    sinks: Sequence[SinkFigures] = field(default_factory=tuple[SinkFigures, ...])
    left: Mapping[str, float] = field(default_factory=dict[str, float])
    pauses: Sequence[Pause] = field(default_factory=tuple[Pause, ...])
    limits: Sequence[LimitFigures] = field(default_factory=tuple[LimitFigures, ...])

    def why(self) -> str:
        """Why this number of concepts is in flight, in a few sentences."""
        totals = self.totals
        waiting = count(totals.roadmaps_queued, "roadmap")
        if not self.workers:
            if not totals.roadmaps_queued:
                return "No worker is running, and no roadmap is waiting."
            return f"No worker is running; {waiting} waiting. To start a worker: paceline worker"
        if not totals.roadmaps_active:
            return f"{count(len(self.workers), 'worker')} idle; {waiting} waiting."
        parts = [
            f"{_are(totals.roadmaps_active, 'roadmap')} running, and workers take up to "
            f"{totals.concurrency} at once. {_are(totals.concepts, 'concept')} in flight, "
            f"{totals.calls} of them in an LLM call",
            _held_back(self.limits),
        ]
        if totals.roadmaps_reserved:
            reserved = count(totals.roadmaps_reserved, "roadmap")
            parts.append(f" Workers have prefetched {reserved} that they have not started.")
        return "".join(parts)

    def held_back(self) -> str:
        """Which limits hold work back, or why nothing runs, without the numbers of the totals."""
        if not self.workers or not self.totals.roadmaps_active:
            return self.why()
        text = _held_back(self.limits).lstrip(";. ")
        return text[:1].upper() + text[1:]

    def to_json(self) -> dict[str, object]:
        """The status for ``--json``; the names are stable."""
        return {
            "workers": [asdict(worker) for worker in self.workers],
            "totals": asdict(self.totals),
            "database": {
                "max_connections": self.budget.server_max,
                "reserve": self.budget.reserve,
                "registered": self.budget.registered,
                "in_use": self.totals.connections,
            },
            "runs": [run_to_json(run, self.left.get(run.run_id)) for run in self.runs],
            "more_runs": self.more_runs,
            "unreachable": list(self.unreachable),
            "lost": [asdict(one) for one in self.lost],
            "sinks": [asdict(one) for one in self.sinks],
            "pauses": [pause_to_json(one) for one in self.pauses],
            "limits": [asdict(one) for one in self.limits],
            "why": self.why(),
        }


def _are(number: int, noun: str) -> str:
    """A number of things, and the verb for it."""
    return f"{count(number, noun)} {'is' if number == 1 else 'are'}"


def _held_back(limits: Sequence[LimitFigures]) -> str:
    """The end of the sentence: which limits hold work back."""
    if not limits:
        return ". No limit holds concepts or calls back."
    waits = [
        f"{one.waiting} {'waits' if one.waiting == 1 else 'wait'} for the limit {one.strategy}"
        f"{f' of {one.key}' if one.key else ''} ({one.used} of {one.quota} {one.unit}"
        f"{' a minute' if one.unit in ('requests', 'tokens') else ''}"
        f"{'' if one.used >= one.quota * _FULL else ' over all roadmaps'})"
        for one in limits
        if _is_reached(one)
    ]
    return f"; {' and '.join(waits)}." if waits else ". No limit is reached."


def _is_reached(limit: LimitFigures) -> bool:
    """Whether a limit holds work back.

    Figures sum up the limits of all roadmaps. The limit of one roadmap may be reached while others
    have room, so a waiting concept is enough.
    """
    of_each_roadmap = limit.unit == "concepts" and not limit.key
    return limit.waiting > 0 and (of_each_roadmap or limit.used >= limit.quota * _FULL)


def run_to_json(run: Run, eta: float | None = None) -> dict[str, object]:
    """A run for ``--json``; the names are stable, and times are ISO 8601 in UTC.

    ``eta`` is the number of seconds until it ends, if that is known.
    """

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
        "priority": run.share.priority,
        "total": run.total,
        "completed": run.completed,
        "failed": run.failed,
        "owner": run.owner,
        "cancel_requested": run.cancel_requested,
        "pause_requested": run.pause_requested,
        "created_at": at(run.created_at),
        "started_at": at(run.started_at),
        "finished_at": at(run.finished_at),
        "seconds": round(run.seconds, 3),
        "steps": None if run.steps is None else list(run.steps),
        "only": list(run.only),
        "budget": run.budget,
        "eta_seconds": None if eta is None else round(eta, 1),
    }


def pause_to_json(pause: Pause) -> dict[str, object]:
    """A pause for ``--json``; the names are stable."""
    return {
        "target": str(pause.target),
        "reason": pause.reason,
        "by": pause.by,
        "at": None if pause.at is None else pause.at.isoformat(),
    }


def why_run_waits(run: Run, controls: Controls) -> str | None:
    """The pauses that keep calls of an unfinished run from starting, in words."""
    if run.status not in ("queued", "running"):
        return None
    whole = controls.pause_of_run(run.share.tenant)
    of_keys = [pause for pause in controls.pauses if pause.target.scope == "key"]
    return "; ".join(one.describe() for one in ([whole] if whole else of_keys)) or None


def run_with_context(run: Run, eta: float | None = None) -> dict[str, object]:
    """The same with the run's context, for the answers about one run."""
    return {**run_to_json(run, eta), "context": dict(run.context)}


async def cluster_status(store: Store, executor: Executor | None) -> ClusterStatus:
    """Read the status from the store and the queue.

    If the queue cannot be reached, ``unreachable`` says so and the rest comes from the store.
    ``executor`` is ``None`` if it could not be made.

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
    runs = await store.runs(status=UNFINISHED, limit=MAX_RUNS + 1)
    workers = _merged([_status_of(record) for record in records], loads)
    waiting = sum(run.status == "queued" for run in runs[:MAX_RUNS])
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
            fallbacks=sum(record.figures.fallbacks for record in records),
            waiting=sum(record.figures.waiting for record in records),
        ),
        budget=await store.budget(),
        runs=runs[:MAX_RUNS],
        more_runs=len(runs) > MAX_RUNS,
        unreachable=tuple(unreachable),
        lost=await lost_runs(store, records),
        sinks=await store.sink_figures(),
        pauses=(await store.controls()).pauses,
        limits=summed_up(one for record in records for one in record.figures.limits),
    )


async def lost_runs(store: Store, workers: Sequence[WorkerRecord]) -> Sequence[LostRun]:
    """Running runs without a live worker, oldest lease first."""
    alive = {worker.identity for worker in workers}
    serving = Counter(worker.executor for worker in workers)
    return [
        LostRun(
            run_id=orphan.run_id,
            recovered_in=0.0 if orphan.is_lost() else round(orphan.lease_left, 1),
            executor=orphan.executor,
            workers=serving[orphan.executor],
        )
        for orphan in await store.orphans(limit=MAX_RUNS)
        if orphan.is_lost() or orphan.owner not in alive
    ]


def _status_of(record: WorkerRecord) -> WorkerStatus:
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
        trouble=figures.trouble,
        version=figures.version,
    )


def _merged(workers: list[WorkerStatus], loads: Sequence[WorkerLoad]) -> list[WorkerStatus]:
    """Add what the queue knows of its workers: reserved runs, and workers without a beat.

    One worker of the queue may be several of our processes; their active runs match them.
    """
    for load in loads:
        active = set(load.active)
        index = next(
            (i for i, one in enumerate(workers) if active & set(one.active)),
            next((i for i, one in enumerate(workers) if one.worker_id in load.name), None),
        )
        if index is not None:
            worker = workers[index]
            workers[index] = replace(worker, reserved=(*worker.reserved, *load.reserved))
        elif load.reserved or load.active or not workers:
            # The worker's beats do not arrive, or it has just started.
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


def strategy_options(settings: Settings, plugins: Plugins) -> dict[str, dict[str, object]]:
    """The effective options of each strategy of the settings, defaults included."""
    return {
        name: plugins.strategy(name)
        .check(options_for(settings.strategies, name), f"strategies.{name}")
        .model_dump(mode="json")
        for name in settings.strategy
    }
