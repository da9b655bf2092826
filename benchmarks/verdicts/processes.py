"""The effect of Celery processes and of the fan-out within them on the database."""

from collections.abc import Iterator, Sequence

from paceline_adapters.bench.results import CellResults
from paceline_adapters.bench.workload import examples, scaled

from benchmarks.experiment import contestant_cell, measure_cells, paceline_cell
from benchmarks.verdicts.verdict import Verdict, middle, shown

SPEED = 20.0


def halves(rounds: int) -> Iterator[Verdict]:
    """Eight processes compared with four."""
    workload = scaled(examples(), speed=SPEED)
    eight, four, hand_eight, hand_four = measure_cells(
        [
            paceline_cell("unbounded", "celery:concurrency=8", workload),
            paceline_cell("unbounded", "celery:concurrency=4", workload),
            contestant_cell("origin-celery", workload, executor="celery:concurrency=8"),
            contestant_cell("origin-celery", workload, executor="celery:concurrency=4"),
        ],
        workload,
        rounds=rounds,
    )
    process_pairs = ((four, eight), (hand_four, hand_eight))
    concepts = [_ratio(*pair, "concepts_peak") for pair in process_pairs]
    loads = [_ratio(*pair, "connections_peak") for pair in process_pairs]
    loads += [_per_second(less) / _per_second(more) for less, more in process_pairs]
    in_flight, load = _half(concepts), _half(loads)
    if in_flight == load:
        verdict = "holds" if load else "does not hold"
    else:
        verdict = f"holds only for the {'concepts in flight' if in_flight else 'load'}"
    yield Verdict(
        name="halves",
        claim="4 Celery processes instead of 8 halve the database load and the concepts in flight.",
        verdict=verdict,
        figures={
            "concepts in flight": _both(eight, four, "concepts_peak"),
            "concepts in flight, by hand": _both(hand_eight, hand_four, "concepts_peak"),
            "connections, peak": _both(eight, four, "connections_peak"),
            "connections, peak, by hand": _both(hand_eight, hand_four, "connections_peak"),
            "transactions per concept": _both(eight, four, "transactions_per_concept", 2),
            "transactions per second": f"{_per_second(eight):.0f} → {_per_second(four):.0f}",
            "transactions per second, by hand": (
                f"{_per_second(hand_eight):.0f} → {_per_second(hand_four):.0f}"
            ),
            "makespan, 4 ÷ 8": f"{_ratio(four, eight, 'makespan'):.2f}",
            "makespan, 4 ÷ 8, by hand": f"{_ratio(hand_four, hand_eight, 'makespan'):.2f}",
        },
    )


def fan_out(rounds: int) -> Iterator[Verdict]:
    """The same eight processes with 16, 40 and 227 concepts in flight."""
    workload = scaled(examples(), speed=SPEED)
    two, five, all_, hand = measure_cells(
        [
            paceline_cell("per-roadmap:limit=2", "celery", workload),
            paceline_cell("per-roadmap:limit=5", "celery", workload),
            paceline_cell("unbounded", "celery", workload),
            contestant_cell("origin-celery", workload),
        ],
        workload,
        rounds=rounds,
    )
    peaks = [middle(cell, "active_peak") for cell in (two, five, all_, hand)]
    # One connection of paceline is the client's; more connections are open than active.
    opened = [middle(cell, "connections_peak") for cell in (two, five, all_, hand)]
    if any(all(8 <= count <= 16 for count in counts) for counts in (peaks, opened)):
        verdict = "holds"
    elif max(opened) <= 32:
        verdict = "holds roughly for open connections; fewer are active"
    else:
        verdict = "does not hold"
    yield Verdict(
        name="fan-out",
        claim="With a pool of 10+20 in each of 8 processes, the database has 8–16 connections, "
        "regardless of the fan-out.",
        verdict=verdict,
        figures={
            "concepts in flight": _row((two, five, all_), "concepts_peak"),
            "connections open, peak": _row((two, five, all_), "connections_peak"),
            "active connections, peak": " · ".join(f"{peak:.0f}" for peak in peaks[:3]),
            "connections open, peak, by hand": shown(hand, "connections_peak"),
            "active connections, peak, by hand": shown(hand, "active_peak"),
            "pool wait p99": _row((two, five, all_), "checkout_p99", 1) + " ms",
        },
    )


def _ratio(one: CellResults, other: CellResults, figure: str) -> float:
    return middle(one, figure) / middle(other, figure)


def _half(ratios: Sequence[float]) -> bool:
    return all(0.4 <= ratio <= 0.6 for ratio in ratios)


def _both(eight: CellResults, four: CellResults, figure: str, digits: int = 0) -> str:
    return f"{shown(eight, figure, digits=digits)} → {shown(four, figure, digits=digits)}"


def _row(cells: tuple[CellResults, ...], figure: str, digits: int = 0) -> str:
    return " · ".join(shown(cell, figure, digits=digits) for cell in cells)


def _per_second(cell: CellResults) -> float:
    per_concept = middle(cell, "transactions_per_concept")
    return per_concept * middle(cell, "concepts_per_second")
