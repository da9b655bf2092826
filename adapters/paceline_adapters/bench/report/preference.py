"""What users weigh: criteria in the order of a preference, decided only by real differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from paceline_adapters.bench.quantiles import MIN_FOR_QUARTILES, quartiles
from paceline_adapters.bench.results import CellResults

Preference = Literal["time", "cost", "fairness"]
PREFERENCES: tuple[Preference, ...] = ("time", "cost", "fairness")

#: Relative differences below this are ties. With fewer than four rounds the quartiles are unknown
#: and random differences are often larger.
_NEGLIGIBLE = 0.01
_NEGLIGIBLE_FEW = 0.05

#: Figures of the database server, which a store without one does not load.
_SERVER_ONLY = frozenset({"connections_peak", "transactions_per_concept"})
#: The criterion that is no figure: whether the executor needs Redis.
REDIS = "redis"

_TIME = ("makespan", "roadmap_end_p50", "roadmap_end_p95")
_COST = ("tokens_per_concept",)
_MACHINE = ("cpu_per_call", "rss_peak")
_DATABASE = ("connections_peak", "transactions_per_concept")
_REST = ("events_peak", REDIS)

#: The criteria of each preference, most important first. Lower is better in all of them.
CRITERIA: Mapping[Preference, Sequence[str]] = {
    "time": (
        *_TIME,
        "unfairness",
        *_COST,
        "calls_refused",
        *_DATABASE,
        *_REST,
        *_MACHINE,
    ),
    "cost": (
        *_COST,
        "calls_refused",
        *_MACHINE,
        *_DATABASE,
        REDIS,
        *_TIME,
        "unfairness",
        "events_peak",
    ),
    "fairness": (
        "unfairness",
        "roadmap_end_p95",
        "roadmap_end_p50",
        "makespan",
        *_COST,
        "calls_refused",
        *_DATABASE,
        *_REST,
        *_MACHINE,
    ),
}


@dataclass(frozen=True, slots=True)
class Decision:
    """A criterion that left fewer cells.

    Attributes:
        criterion: name of a figure, or ``REDIS``.
        kept: cells that differ from the best one by no more than the spread.
        dropped: cells that are worse by more than the spread.
    """

    criterion: str
    kept: tuple[CellResults, ...]
    dropped: tuple[CellResults, ...]


def decide(
    cells: Sequence[CellResults], preference: Preference
) -> tuple[list[CellResults], list[Decision]]:
    """Drop the worse cells criterion by criterion, until one cell or no criterion remains.

    A criterion that was not measured for one of the remaining cells decides nothing.

    Returns:
        The cells that remain, which tie if there are several, and the decisions in their order.
    """
    left, decisions = list(cells), list[Decision]()
    while (decision := _next(left, preference)) is not None:
        decisions.append(decision)
        left = list(decision.kept)
    return left, decisions


def _next(cells: Sequence[CellResults], preference: Preference) -> Decision | None:
    """The first criterion that separates the cells.

    It starts with the first criterion each time: ties are not transitive, so two cells that tied
    with a third one may differ when that one is gone.
    """
    for criterion in CRITERIA[preference] if len(cells) > 1 else ():
        kept = best_of(cells, criterion)
        if len(kept) < len(cells):
            dropped = tuple(cell for cell in cells if cell not in kept)
            return Decision(criterion, tuple(kept), dropped)
    return None


def best_of(cells: Sequence[CellResults], criterion: str) -> list[CellResults]:
    """The best cell and those that tie with it; all cells if one was not measured."""
    found = {cell.name: values_of(cell, criterion) for cell in cells}
    if not all(found.values()):
        return list(cells)
    best = min(found.values(), key=lambda values: (median(values), quartiles(values)))
    return [cell for cell in cells if is_tie(found[cell.name], best)]


def values_of(cell: CellResults, criterion: str) -> Sequence[float]:
    """A criterion's value in each round; empty if it was not measured."""
    if criterion == REDIS:
        return [float(cell.redis)]
    if criterion in _SERVER_ONLY and cell.store != "postgresql":
        return [0.0]
    return cell.values(criterion)


def is_tie(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether the rounds of two cells show no difference.

    They differ if each median lies outside the quartiles of the other cell, and the medians are
    further apart than chance explains.
    """
    ours, theirs = median(one), median(other)
    few = min(len(one), len(other)) < MIN_FOR_QUARTILES
    if abs(ours - theirs) <= (_NEGLIGIBLE_FEW if few else _NEGLIGIBLE) * max(ours, theirs):
        return True
    return _within(ours, other) or _within(theirs, one)


def _within(value: float, values: Sequence[float]) -> bool:
    low, high = quartiles(values)
    return low <= value <= high
