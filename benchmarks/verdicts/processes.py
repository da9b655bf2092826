"""Celery processes, the fan-out within them, and what both make of the database."""

from collections.abc import Iterator

from paceline_adapters.bench.results import CellResults
from paceline_adapters.bench.workload import examples, scaled

from benchmarks.verdicts.experiment import Verdict, by_hand, measured, middle, ours, shown

SPEED = 20.0


def halves(rounds: int) -> Iterator[Verdict]:
    """Eight processes against four."""
    workload = scaled(examples(), speed=SPEED)
    eight, four, hand_eight, hand_four = measured(
        [
            ours("unbounded", "celery:concurrency=8", workload),
            ours("unbounded", "celery:concurrency=4", workload),
            by_hand("origin-celery", workload, executors__celery__concurrency="8"),
            by_hand("origin-celery", workload, executors__celery__concurrency="4"),
        ],
        workload,
        rounds=rounds,
    )
    concepts = _ratio(four, eight, "concepts_peak")
    connections = _ratio(hand_four, hand_eight, "connections_peak")
    makespan = _ratio(four, eight, "makespan")
    half = all(0.4 <= ratio <= 0.6 for ratio in (concepts, connections))
    yield Verdict(
        name="halves",
        said="From 8 to 4 Celery processes halves the database load and the concepts in flight.",
        verdict="holds" if half else "holds of what is in flight, not of the load",
        figures={
            "concepts in flight, 4 ÷ 8": f"{concepts:.2f}",
            "concepts in flight": _both(eight, four, "concepts_peak"),
            "connections, peak": _both(eight, four, "connections_peak"),
            "connections, peak, by hand": _both(hand_eight, hand_four, "connections_peak"),
            "transactions per concept": _both(eight, four, "transactions_per_concept", 2),
            "transactions a second": f"{_per_second(eight):.0f} → {_per_second(four):.0f}",
            "transactions a second, by hand": (
                f"{_per_second(hand_eight):.0f} → {_per_second(hand_four):.0f}"
            ),
            "makespan, 4 ÷ 8": f"{makespan:.2f}",
        },
    )


def fan_out(rounds: int) -> Iterator[Verdict]:
    """The same eight processes with 16, 40 and 227 concepts in flight."""
    workload = scaled(examples(), speed=SPEED)
    two, five, all_, hand = measured(
        [
            ours("per-roadmap:limit=2", "celery", workload),
            ours("per-roadmap:limit=5", "celery", workload),
            ours("unbounded", "celery", workload),
            by_hand("origin-celery", workload),
        ],
        workload,
        rounds=rounds,
    )
    peaks = [middle(cell, "active_peak") for cell in (two, five, all_, hand)]
    opened = [middle(cell, "connections_peak") for cell in (two, five, all_, hand)]
    yield Verdict(
        name="fan-out",
        said="With a pool of 10+20 in each of 8 processes the database sees 8–16 at once, "
        "whatever the fan-out.",
        verdict="holds" if all(8 <= peak <= 16 for peak in opened) else "does not hold",
        figures={
            "concepts in flight": _row((two, five, all_), "concepts_peak"),
            "connections open, peak": _row((two, five, all_), "connections_peak"),
            "connections at work, peak": " · ".join(f"{peak:.0f}" for peak in peaks[:3]),
            "connections open, peak, by hand": shown(hand, "connections_peak"),
            "connections at work, peak, by hand": shown(hand, "active_peak"),
            "pool wait p99": _row((two, five, all_), "checkout_p99", 1) + " ms",
        },
    )


def _ratio(one: CellResults, other: CellResults, figure: str) -> float:
    return middle(one, figure) / middle(other, figure)


def _both(eight: CellResults, four: CellResults, figure: str, digits: int = 0) -> str:
    return f"{shown(eight, figure, digits=digits)} → {shown(four, figure, digits=digits)}"


def _row(cells: tuple[CellResults, ...], figure: str, digits: int = 0) -> str:
    return " · ".join(shown(cell, figure, digits=digits) for cell in cells)


def _per_second(cell: CellResults) -> float:
    per_concept = middle(cell, "transactions_per_concept")
    return per_concept * middle(cell, "concepts_per_second")
