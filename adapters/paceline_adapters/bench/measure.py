"""One round of one cell: run it, watch it from all sides, and make figures of what was seen."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from paceline import PartUnavailable
from paceline.contracts.wait_histogram import quantile

from paceline_adapters.bench import bound, timeline
from paceline_adapters.bench.cells import Cell
from paceline_adapters.bench.places import Place, Places, provider
from paceline_adapters.bench.probes.calls import OK, REFUSED, Call, chains, read_calls
from paceline_adapters.bench.probes.postgres import DatabaseFigures, DatabaseProbe
from paceline_adapters.bench.probes.processes import TreeFigures, TreeProbe
from paceline_adapters.bench.protocol import START, Order, module, started
from paceline_adapters.bench.results import Timeline
from paceline_adapters.bench.seen import Seen
from paceline_adapters.bench.spread import percentile
from paceline_adapters.bench.workload import Workload

#: Seconds in which some request at least must reach the provider while a round goes on.
_PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Contest:
    """A cell and how it is run.

    Attributes:
        cell: the combination.
        command: the program to start; ours, or a contestant.
        settings: what of ``paceline.toml`` makes it.
        redis: whether it needs a Redis.
        workers: worker processes to start.
        limits: of the cell, as far as they are known.
        import_from: folder that the program's modules are imported from, beside the installed.
    """

    cell: Cell
    command: Sequence[str]
    settings: Mapping[str, str]
    redis: bool
    workers: int
    limits: bound.Limits
    import_from: Path | None = None


@dataclass(slots=True)
class Observed:
    """Everything that was seen of one round.

    Attributes:
        began: when it was told to go, seconds since 1970.
        makespan: seconds from ``go`` to ``done``.
        processes: processor time and memory.
        database: what the server saw; ``None`` for SQLite.
        calls: what the provider saw.
        calls_peak: most calls in flight.
        seen: what our host saw; ``None`` for a contestant.
    """

    began: float
    makespan: float
    processes: TreeFigures
    database: DatabaseFigures | None
    calls: Sequence[Call]
    calls_peak: int
    seen: Seen | None = None

    @property
    def roadmaps(self) -> list[timeline.Span]:
        """When each was active."""
        if self.seen is not None:
            return timeline.roadmap_spans(self.seen.heard, self.began)
        return timeline.called_spans(self.calls, self.began, by_roadmap=True)

    @property
    def concepts(self) -> list[timeline.Span]:
        """When each was in flight."""
        if self.seen is not None:
            return timeline.concept_spans(self.seen.heard, self.began)
        return timeline.called_spans(self.calls, self.began, by_roadmap=False)


async def measure(
    contest: Contest, workload: Workload, roadmaps: Sequence[Path], warm_up: Path, places: Places
) -> tuple[dict[str, float], Timeline]:
    """Run one round in processes, database, Redis and provider of its own.

    Raises:
        PartUnavailable: it failed, or did not do all of the work.
    """
    store = contest.cell.store
    async with (
        places.place(store, redis=contest.redis) as place,
        provider(workload.simulator_options(), place.folder) as llm,
    ):
        order = Order(
            roadmaps=list(roadmaps),
            warm_up=warm_up,
            base_url=llm.base_url,
            api_key="simulated",
            model="simulated",
            store_url=place.store_url,
            redis_url=place.redis_url,
            settings=dict(contest.settings),
            workers=contest.workers,
            out=place.folder / "seen.json",
        )
        async with started(
            contest.command, order, folder=place.folder, import_from=contest.import_from
        ) as contender:
            await contender.hear("ready", within=START)
            await llm.reset()
            async with AsyncExitStack() as stack:
                database = await _database(stack, places, place)
                processes = await stack.enter_async_context(TreeProbe(contender.pid))
                began, clock = time.time(), time.perf_counter()
                contender.go()
                done = await contender.hear(
                    "done", within=_PATIENCE, progress=lambda: llm.log.stat().st_size
                )
                makespan = done - clock
            peak = await llm.peak()
            await contender.end()
        observed = Observed(
            began=began,
            makespan=makespan,
            processes=processes.figures,
            database=None if database is None else database.figures,
            calls=read_calls(llm.log, since=began),
            calls_peak=peak,
            seen=None
            if contest.cell.contestant
            else Seen.model_validate_json(order.out.read_bytes()),
        )
    _all_done(observed, workload)
    return figures(observed, contest.limits, workload.concepts), _timeline(observed)


async def _database(stack: AsyncExitStack, places: Places, place: Place) -> DatabaseProbe | None:
    if places.postgres is None or not place.database:
        return None
    return await stack.enter_async_context(DatabaseProbe(places.postgres, place.database))


def _all_done(observed: Observed, workload: Workload) -> None:
    """A round that leaves work undone would look fast."""
    if observed.seen is not None:
        done = observed.seen.completed
    else:
        done = sum(
            len({call.step for call in calls}) >= 3
            for concepts in chains(observed.calls).values()
            for calls in concepts.values()
        )
    if done != workload.concepts:
        raise PartUnavailable(f"it completed {done} of {workload.concepts} concepts")


def figures(seen: Observed, limits: bound.Limits, concepts: int) -> dict[str, float]:
    """The figures of a round, those that it can know."""
    answered = [call for call in seen.calls if call.status == OK]
    plans = [
        [[(call.drawn, call.tokens) for call in calls] for calls in of_roadmap.values()]
        for of_roadmap in chains(seen.calls).values()
    ]
    least, scheduled = bound.lower_bound(plans, limits), bound.list_schedule(plans, limits)
    in_flight = timeline.peak(seen.concepts)
    growth = max(0, seen.processes.rss_peak - seen.processes.rss_start)
    found = {
        "makespan": seen.makespan,
        "lower_bound": least,
        "over_bound": seen.makespan / least if least else 0.0,
        "list_schedule": scheduled,
        "over_schedule": seen.makespan / scheduled if scheduled else 0.0,
        "concepts_per_second": concepts / seen.makespan,
        "calls_per_second": len(answered) / seen.makespan,
        "calls_refused": float(sum(call.status == REFUSED for call in seen.calls)),
        "cpu_per_call": 1000 * seen.processes.cpu / max(1, len(answered)),
        "rss_peak": seen.processes.rss_peak / 2**20,
        "rss_per_concept": growth / 1024 / max(1, in_flight),
        "roadmaps_peak": float(timeline.peak(seen.roadmaps)),
        "concepts_peak": float(in_flight),
        "calls_peak": float(seen.calls_peak),
    }
    if seen.database is not None:
        found |= _database_figures(seen.database, concepts)
    if seen.seen is not None:
        found |= _pool_figures(seen.seen, sqlite=seen.database is None)
        found |= _event_figures(seen.seen, seen.makespan)
    return found


def _database_figures(seen: DatabaseFigures, concepts: int) -> dict[str, float]:
    connections = [sample.connections for sample in seen.samples]
    active = [sample.active for sample in seen.samples]
    found = {
        "connections_peak": float(max(connections)),
        "connections_mean": fmean(connections),
        "active_peak": float(max(active)),
        "active_mean": fmean(active),
        "transactions_per_concept": seen.transactions / concepts,
        "statements_per_concept": seen.statements / concepts,
        "lock_waits": float(seen.lock_waits),
    }
    if seen.commits:
        found["commit_p50"] = 1000 * percentile(seen.commits, 0.5)
        found["commit_p99"] = 1000 * percentile(seen.commits, 0.99)
    return found


def _pool_figures(seen: Seen, *, sqlite: bool) -> dict[str, float]:
    found = {"pool_timeouts": float(seen.pools.timeouts)}
    for name, share in (("checkout_p50", 0.5), ("checkout_p99", 0.99)):
        seconds = quantile(seen.pools.waits, share)
        if seconds is not None:
            found[name] = 1000 * seconds
    if sqlite:
        found["busy_waits"] = float(seen.pools.busy)
    return found


def _event_figures(seen: Seen, makespan: float) -> dict[str, float]:
    saved = {(one.run_id, one.concept_id, one.step): one.at for one in seen.saved}
    delays: list[float] = []
    for event in seen.heard:
        at = saved.get((event.run_id, event.concept_id or "", event.step or ""))
        if at is not None:
            delays.append(max(0.0, event.at - at))
    found = {
        "events_total": float(len(seen.heard)),
        "events_peak": float(timeline.peak_second([event.at for event in seen.heard])),
        "events_mean": len(seen.heard) / makespan,
        "coalesced_total": float(len(seen.told)),
        "coalesced_peak": float(timeline.peak_second(seen.told)),
        "coalesced_mean": len(seen.told) / makespan,
    }
    if delays:
        found["event_delay_p50"] = 1000 * percentile(delays, 0.5)
        found["event_delay_p99"] = 1000 * percentile(delays, 0.99)
    return found


def _timeline(seen: Observed) -> Timeline:
    return timeline.timeline(
        seen.makespan,
        roadmaps=seen.roadmaps,
        concepts=seen.concepts,
        calls=timeline.call_spans(seen.calls, seen.began),
        events=[] if seen.seen is None else [one.at - seen.began for one in seen.seen.heard],
        connections=[] if seen.database is None else seen.database.samples,
        began=seen.began,
    )


#: How a cell of ours is run.
OURS = module("paceline_adapters.bench.host")
