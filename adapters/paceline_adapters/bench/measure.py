"""Run one round of one cell, observe it, and derive its figures."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from paceline import App, PartUnavailable
from paceline.contracts.admission.wait_histogram import quantile

from paceline_adapters.bench import bounds, timeline
from paceline_adapters.bench.cells import Cell
from paceline_adapters.bench.declared_bounds import declared_bound
from paceline_adapters.bench.environments import (
    Environment,
    Environments,
    ProviderStats,
    simulated_provider,
)
from paceline_adapters.bench.fairness import Bound, unfairness
from paceline_adapters.bench.observation import HostObservation
from paceline_adapters.bench.probes.calls import OK, REFUSED, Call, chains, read_calls
from paceline_adapters.bench.probes.postgres import DatabaseFigures, DatabaseProbe
from paceline_adapters.bench.probes.processes import TreeFigures, TreeProbe
from paceline_adapters.bench.probes.sqlite import FileProbe
from paceline_adapters.bench.protocol import START_TIMEOUT, RoundSpec, module, start_program
from paceline_adapters.bench.quantiles import percentile
from paceline_adapters.bench.results import Timeline
from paceline_adapters.bench.workload import Workload

#: A round fails if the provider receives no request for this number of seconds.
_STALL_TIMEOUT = 300.0


@dataclass(frozen=True, slots=True)
class PreparedCell:
    """A checked cell and how it is run.

    Attributes:
        command: the program to start: the host, or a contestant.
        settings: the settings of the cell, by dotted path.
        redis: whether it needs Redis.
        workers: worker processes to start.
        limits: the limits of the cell, as far as they are known.
        app: settings and plugins of the strategies, which may declare a lower bound.
        processes: number of processes that work.
        import_from: additional folder to import the program's modules from.
    """

    cell: Cell
    command: Sequence[str]
    settings: Mapping[str, str]
    redis: bool
    workers: int
    limits: bounds.Limits
    app: App
    processes: int
    import_from: Path | None = None


@dataclass(slots=True)
class RoundObservation:
    """Everything that was observed in one round.

    Attributes:
        started: when the round started, seconds since 1970.
        makespan: seconds from ``go`` to ``done``.
        database: what the database server counted; ``None`` without one.
        connections: when how many connections to the store were open, seconds since 1970.
        sqlite: whether the store is SQLite.
        host: what the host observed; ``None`` for a contestant.
    """

    started: float
    makespan: float
    processes: TreeFigures
    database: DatabaseFigures | None
    calls: Sequence[Call]
    provider: ProviderStats
    connections: Sequence[tuple[float, int]] = ()
    sqlite: bool = False
    host: HostObservation | None = None

    @property
    def roadmaps(self) -> list[timeline.Span]:
        """When each roadmap was active."""
        if self.host is not None:
            return timeline.roadmap_spans(self.host.events, self.started)
        return timeline.spans_of_calls(self.calls, self.started, by_roadmap=True)

    @property
    def ends(self) -> Mapping[str, float]:
        """When each roadmap ended, by the name that its calls have; of equal names, the last."""
        if self.host is None:
            named = [(call.roadmap, call.ended - self.started) for call in self.calls]
        else:
            named = [
                (self.host.roadmaps[event.run_id], event.at - self.started)
                for event in self.host.events
            ]
        ends: dict[str, float] = {}
        for name, at in named:
            ends[name] = max(at, ends.get(name, at))
        return ends

    @property
    def concepts(self) -> list[timeline.Span]:
        """When each concept was in flight."""
        if self.host is not None:
            return timeline.concept_spans(self.host.events, self.started)
        return timeline.spans_of_calls(self.calls, self.started, by_roadmap=False)


async def measure(
    prepared: PreparedCell,
    workload: Workload,
    roadmaps: Sequence[Path],
    warm_up: Path,
    environments: Environments,
) -> tuple[dict[str, float], Timeline]:
    """Run one round with its own processes, database, Redis and provider.

    Raises:
        PartUnavailable: the round failed, or left work undone.
    """
    cell = prepared.cell
    async with (
        environments.environment(cell.store, cell.store_url, redis=prepared.redis) as environment,
        declared_bound(prepared.app, workers=prepared.processes) as declared,
        simulated_provider(workload.simulator_options(), environment.folder) as llm,
    ):
        spec = RoundSpec(
            roadmaps=list(roadmaps),
            warm_up=warm_up,
            base_url=llm.base_url,
            api_key="simulated",
            model="simulated",
            store_url=environment.store_url,
            redis_url=environment.redis_url,
            settings={key: environment.fill(text) for key, text in prepared.settings.items()},
            workers=prepared.workers,
            out=environment.folder / "observation.json",
        )
        async with start_program(
            prepared.command, spec, folder=environment.folder, import_from=prepared.import_from
        ) as program:
            await program.wait_for("ready", timeout=START_TIMEOUT)
            await llm.reset()
            async with AsyncExitStack() as stack:
                database = await _watch_database(stack, environments, environment)
                file = None
                if environment.sqlite is not None:
                    probe = FileProbe(program.pid, environment.sqlite)
                    file = await stack.enter_async_context(probe)
                processes = await stack.enter_async_context(TreeProbe(program.pid))
                started, clock = time.time(), time.perf_counter()
                program.go()
                done = await program.wait_for(
                    "done", timeout=_STALL_TIMEOUT, progress=lambda: llm.log.stat().st_size
                )
                makespan = done - clock
            provider = await llm.stats()
            await program.end()
        observed = RoundObservation(
            started=started,
            makespan=makespan,
            processes=processes.figures,
            database=None if database is None else database.figures,
            calls=read_calls(llm.log, since=started),
            provider=provider,
            connections=_connections(database, file),
            sqlite=environment.sqlite is not None,
            host=None
            if prepared.cell.contestant
            else HostObservation.model_validate_json(spec.out.read_bytes()),
        )
    _check_completed(observed, workload)
    found = figures(observed, prepared.limits, workload.concepts, declared)
    return found, _timeline(observed)


def _connections(
    database: DatabaseProbe | None, file: FileProbe | None
) -> Sequence[tuple[float, int]]:
    if database is not None:
        return [(sample.at, sample.connections) for sample in database.figures.samples]
    return [] if file is None else file.samples


async def _watch_database(
    stack: AsyncExitStack, environments: Environments, environment: Environment
) -> DatabaseProbe | None:
    if environments.postgres is None or not environment.database:
        return None
    probe = DatabaseProbe(environments.postgres, environment.database)
    return await stack.enter_async_context(probe)


def _check_completed(observed: RoundObservation, workload: Workload) -> None:
    """Refuse a round that left work undone: it would look fast."""
    if observed.host is not None:
        done = observed.host.completed
    else:
        done = sum(
            len({call.step for call in calls}) >= 3
            for concepts in chains(observed.calls).values()
            for calls in concepts.values()
        )
    if done != workload.concepts:
        raise PartUnavailable(f"only {done} of {workload.concepts} concepts were completed")


def figures(
    observed: RoundObservation, limits: bounds.Limits, concepts: int, declared: Bound
) -> dict[str, float]:
    """The figures of a round, as far as they can be measured.

    ``declared`` is the lower bound that the strategies declare.
    """
    answered = [call for call in observed.calls if call.status == OK]
    by_roadmap = {
        name: [[(call.drawn, call.tokens) for call in calls] for calls in of_roadmap.values()]
        for name, of_roadmap in chains(observed.calls).items()
    }
    plans = list(by_roadmap.values())

    def bound(plans: Sequence[bounds.RoadmapCalls]) -> float:
        return max(bounds.lower_bound(plans, limits), declared(plans))

    shortest = bound(plans)
    # A strategy that declares a bound may have a limit that the schedule does not know.
    scheduled = max(bounds.list_schedule(plans, limits), shortest)
    ends = [end for _, end in observed.roadmaps]
    in_flight = timeline.peak(observed.concepts)
    growth = max(0, observed.processes.rss_peak - observed.processes.rss_start)
    found = {
        "makespan": observed.makespan,
        "roadmap_end_p50": percentile(ends, 0.5),
        "roadmap_end_p95": percentile(ends, 0.95),
        "tokens_per_concept": observed.provider.tokens / concepts,
        "lower_bound": shortest,
        "over_bound": observed.makespan / shortest if shortest else 0.0,
        "list_schedule": scheduled,
        "over_schedule": observed.makespan / scheduled if scheduled else 0.0,
        "concepts_per_second": concepts / observed.makespan,
        "calls_per_second": len(answered) / observed.makespan,
        "calls_refused": float(sum(call.status == REFUSED for call in observed.calls)),
        "cpu_per_call": 1000 * observed.processes.cpu / max(1, len(answered)),
        "rss_peak": observed.processes.rss_peak / 2**20,
        "rss_per_concept": growth / 1024 / max(1, in_flight),
        "roadmaps_peak": float(timeline.peak(observed.roadmaps)),
        "concepts_peak": float(in_flight),
        "calls_peak": float(observed.provider.calls_peak),
    }
    kept_waiting = unfairness(observed.ends, by_roadmap, bound)
    if kept_waiting is not None:
        found["unfairness"] = kept_waiting
    if observed.database is not None:
        found |= _database_figures(observed.database, concepts)
    if observed.host is not None:
        found |= _pool_figures(observed.host, sqlite=observed.sqlite)
        found |= _event_figures(observed.host, observed.makespan)
    return found


def _database_figures(database: DatabaseFigures, concepts: int) -> dict[str, float]:
    connections = [sample.connections for sample in database.samples]
    active = [sample.active for sample in database.samples]
    found = {
        "connections_peak": float(max(connections)),
        "connections_mean": fmean(connections),
        "active_peak": float(max(active)),
        "active_mean": fmean(active),
        "transactions_per_concept": database.transactions / concepts,
        "statements_per_concept": database.statements / concepts,
        "lock_waits": float(database.lock_waits),
    }
    if database.commits:
        found["commit_p50"] = 1000 * percentile(database.commits, 0.5)
        found["commit_p99"] = 1000 * percentile(database.commits, 0.99)
    return found


def _pool_figures(host: HostObservation, *, sqlite: bool) -> dict[str, float]:
    found = {"pool_timeouts": float(host.pools.timeouts)}
    for name, share in (("checkout_p50", 0.5), ("checkout_p99", 0.99)):
        seconds = quantile(host.pools.waits, share)
        if seconds is not None:
            found[name] = 1000 * seconds
    if sqlite:
        found["busy_waits"] = float(host.pools.busy)
    return found


def _event_figures(host: HostObservation, makespan: float) -> dict[str, float]:
    saved = {(one.run_id, one.concept_id, one.step): one.at for one in host.artifacts}
    delays: list[float] = []
    for event in host.events:
        at = saved.get((event.run_id, event.concept_id or "", event.step or ""))
        if at is not None and event.type == "content_generation_progress":
            delays.append(max(0.0, event.at - at))
    found = {
        "events_total": float(len(host.events)),
        "events_peak": float(timeline.peak_second([event.at for event in host.events])),
        "events_mean": len(host.events) / makespan,
        "coalesced_total": float(len(host.messages)),
        "coalesced_peak": float(timeline.peak_second(host.messages)),
        "coalesced_mean": len(host.messages) / makespan,
    }
    if delays:
        found["event_delay_p50"] = 1000 * percentile(delays, 0.5)
        found["event_delay_p99"] = 1000 * percentile(delays, 0.99)
    return found


def _timeline(observed: RoundObservation) -> Timeline:
    return timeline.timeline(
        observed.makespan,
        roadmaps=observed.roadmaps,
        concepts=observed.concepts,
        calls=timeline.call_spans(observed.calls, observed.started),
        events=[]
        if observed.host is None
        else [one.at - observed.started for one in observed.host.events],
        connections=[(at - observed.started, count) for at, count in observed.connections],
    )


#: The program that runs a cell of paceline.
HOST = module("paceline_adapters.bench.host")
