"""At real latencies: the counts of both layers, database connections, and event rates."""

from collections.abc import Iterator

from paceline_adapters.bench.results import CellResults
from paceline_adapters.bench.workload import examples, scaled

from benchmarks.experiment import contestant_cell, measure_cells, paceline_cell
from benchmarks.verdicts.verdict import Verdict, middle, shown

#: Seconds at the start that are left out: all concepts start, and events count for a second.
START_PHASE = 5.0


def verdicts(rounds: int) -> Iterator[Verdict]:
    """Eight tasks and 227 concepts, with paceline and with a hand-written program, at speed 1."""
    workload = scaled(examples(), speed=1.0)
    paceline, hand = measure_cells(
        [
            paceline_cell("unbounded", "celery", workload),
            contestant_cell("origin-celery", workload),
        ],
        workload,
        rounds=rounds,
    )
    counted = (middle(paceline, "roadmaps_peak"), middle(paceline, "concepts_peak"))
    yield Verdict(
        name="layers",
        claim="The frontend counts concepts, not tasks: eight tasks show as 227 in flight.",
        verdict="holds" if counted == (8, 227) else "does not hold",
        figures={
            "roadmaps active": shown(paceline, "roadmaps_peak"),
            "concepts in flight": shown(paceline, "concepts_peak"),
            "calls in flight at the provider": shown(paceline, "calls_peak"),
            "calls in flight, by hand": shown(hand, "calls_peak"),
        },
    )
    yield Verdict(
        name="waiting",
        claim="Waiting for an LLM costs no database connection.",
        verdict="holds"
        if max(middle(one, "active_mean") for one in (paceline, hand)) < 1
        else "does not hold",
        figures={
            "active connections, mean": shown(paceline, "active_mean", digits=2),
            "active connections, mean, by hand": shown(hand, "active_mean", digits=2),
            "connections open, peak": shown(paceline, "connections_peak"),
            "connections open, peak, by hand": shown(hand, "connections_peak"),
        },
    )
    peak = middle(paceline, "events_peak")
    yield Verdict(
        name="events",
        claim="Progress events peak at 50–100 per second.",
        verdict="holds" if 50 <= peak <= 100 else "does not hold",
        figures={
            "events in the peak second": shown(paceline, "events_peak", "/s"),
            "events in the busiest second after the start": f"{after_the_start(paceline):.0f} /s",
            "events, mean": shown(paceline, "events_mean", "/s", 1),
            "events in total": shown(paceline, "events_total"),
            "coalesced messages to a browser, peak second": shown(paceline, "coalesced_peak", "/s"),
            "coalesced messages to a browser, mean": shown(paceline, "coalesced_mean", "/s", 1),
        },
    )


def after_the_start(cell: CellResults) -> float:
    """Maximum number of events per second, without the burst when all concepts start."""
    line = cell.typical.timeline
    assert line is not None
    return max(
        events for at, events in zip(line.seconds, line.events, strict=True) if at > START_PHASE
    )
