"""Ranks the measured settings by a user's bounds and preference."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import TypeVar

from paceline import UsageError

from paceline_adapters.bench.cells import ONE_PROCESS
from paceline_adapters.bench.report.preference import (
    CRITERIA,
    Decision,
    Preference,
    best_of,
    decide,
)
from paceline_adapters.bench.results import CellResults, Results, WorkloadFacts

PointT = TypeVar("PointT")


@dataclass(frozen=True, slots=True)
class Constraints:
    """Bounds for a setting; ``None`` means no bound.

    Attributes:
        max_events: maximum number of progress events within one second.
        rpm: the provider's limit of requests per minute.
        tpm: the provider's limit of tokens per minute.
    """

    max_connections: int | None = None
    max_events: float | None = None
    rpm: int | None = None
    tpm: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not 0 < value < inf:
                raise UsageError(f"{field.name} must be a number above 0, got {value}")


@dataclass(frozen=True, slots=True)
class Check:
    """One bound and the measured value of a cell.

    Attributes:
        what: name of the bounded quantity.
        bound: the user's bound.
        worst: the highest value of any round; ``None`` if it was not measured.
    """

    what: str
    bound: float
    worst: float | None

    @property
    def excess(self) -> float:
        """Relative excess over the bound: 0 if it is met, infinite if the value is unknown."""
        if self.worst is None:
            return inf
        return max(0.0, self.worst / self.bound - 1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A cell checked against all bounds."""

    cell: CellResults
    checks: tuple[Check, ...]

    @property
    def excess(self) -> float:
        """The largest excess over a bound; 0 if all are met."""
        return max((check.excess for check in self.checks), default=0.0)

    @property
    def makespan(self) -> float:
        """The median of its rounds, seconds."""
        return self.cell.median("makespan") or 0.0


@dataclass(frozen=True, slots=True)
class Ranking:
    """The result of the ranking.

    Attributes:
        constraints: the user's bounds.
        prefer: what the user weighs most.
        met: cells that meet every bound in every round, by the first criterion of the preference.
        missed: the other candidates, smallest excess first.
        first: cells of ``met`` that tie in the first criterion.
        decisions: the criteria that separated cells of ``met``, in their order.
        tied: cells that no criterion separates; they tie if there are several.
        not_ranked: cells that are not candidates: hand-written programs, cells that keep runs
            in memory, and cells without a database server if connections are bounded.
        ratios: makespan ÷ that of the fastest of ``met``, round by round, by cell name.
    """

    constraints: Constraints
    prefer: Preference
    met: tuple[Verdict, ...]
    missed: tuple[Verdict, ...]
    first: tuple[CellResults, ...]
    decisions: tuple[Decision, ...]
    tied: tuple[Verdict, ...]
    not_ranked: tuple[CellResults, ...]
    ratios: dict[str, Sequence[float]]

    @property
    def recommended(self) -> Verdict | None:
        """The cell to use; of a tie, the first by name."""
        return self.tied[0] if self.tied else None

    @property
    def nearest(self) -> Verdict | None:
        """The recommended cell, or the one with the smallest excess."""
        return self.recommended or (self.missed[0] if self.missed else None)


def rank(results: Results, constraints: Constraints, prefer: Preference = "time") -> Ranking:
    """Rank the cells by a user's bounds, and then by what the user prefers."""
    candidates, not_ranked = _candidates(results, constraints)
    verdicts = [judge(cell, constraints, results.workload) for cell in candidates]
    main = CRITERIA[prefer][0]
    met = sorted(
        (one for one in verdicts if not one.excess),
        key=lambda one: (_median(one.cell, main), *_by_makespan(one)),
    )
    missed = sorted(
        (one for one in verdicts if one.excess), key=lambda one: (one.excess, *_by_makespan(one))
    )
    cells = [one.cell for one in sorted(met, key=lambda one: one.cell.name)]
    left, decisions = decide(cells, prefer)
    ratios: dict[str, Sequence[float]] = {}
    if met:
        fastest = min(met, key=_by_makespan).cell
        ratios = dict(results.ratios("makespan", fastest.name))
    return Ranking(
        constraints,
        prefer,
        tuple(met),
        tuple(missed),
        tuple(best_of(cells, main)) if cells else (),
        tuple(decisions),
        tuple(next(one for one in met if one.cell is cell) for cell in left),
        tuple(not_ranked),
        ratios,
    )


def judge(cell: CellResults, constraints: Constraints, workload: WorkloadFacts) -> Verdict:
    """Check a cell's worst round against each bound.

    Requests per minute are checked only if the workload had no such quota; otherwise the provider
    itself enforced it. They are converted to speed 1.
    """
    checks: list[Check] = []
    if constraints.max_connections is not None and cell.store == "postgresql":
        worst = _worst(cell, "connections_peak")
        checks.append(Check("connections", constraints.max_connections, worst))
    if constraints.max_events is not None:
        checks.append(Check("events/s", constraints.max_events, _worst(cell, "events_peak")))
    if constraints.rpm is not None and not _enforced(workload.rpm, constraints.rpm):
        rate = _worst(cell, "calls_per_second")
        per_minute = None if rate is None else rate * 60 / workload.speed
        checks.append(Check("requests/min", constraints.rpm, per_minute))
    return Verdict(cell, tuple(checks))


def token_bound_unchecked(constraints: Constraints, workload: WorkloadFacts) -> bool:
    """Whether there is a bound on tokens that was not measured."""
    return constraints.tpm is not None and not _enforced(workload.tpm, constraints.tpm)


def pareto(
    points: Sequence[PointT], costs: Callable[[PointT], tuple[float, float]]
) -> list[PointT]:
    """The Pareto front: points that no other point dominates."""
    return [
        point
        for point in points
        if not any(_dominates(costs(other), costs(point)) for other in points)
    ]


def _dominates(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] <= other[0] and one[1] <= other[1]


def _candidates(
    results: Results, constraints: Constraints
) -> tuple[list[CellResults], list[CellResults]]:
    not_ranked = [cell for cell in results.cells if cell.contestant]
    ours = [cell for cell in results.cells if not cell.contestant]
    durable = [cell for cell in ours if cell.store != ONE_PROCESS]
    if durable:
        not_ranked += [cell for cell in ours if cell.store == ONE_PROCESS]
        ours = durable
    # A bound on connections implies a database server, so SQLite is not a candidate.
    served = [cell for cell in ours if cell.store == "postgresql"]
    if constraints.max_connections is None or not served:
        return ours, not_ranked
    return served, [*(cell for cell in ours if cell.store != "postgresql"), *not_ranked]


def _enforced(quota: int | None, bound: int) -> bool:
    return quota is not None and quota <= bound


def _worst(cell: CellResults, figure: str) -> float | None:
    return max(cell.values(figure), default=None)


def _median(cell: CellResults, figure: str) -> float:
    middle = cell.median(figure)
    return inf if middle is None else middle


def _by_makespan(verdict: Verdict) -> tuple[float, str]:
    return verdict.makespan, verdict.cell.name
