"""Ranks the measured settings by a user's bounds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import NamedTuple, TypeVar

from paceline import UsageError

from paceline_adapters.bench.quantiles import quartiles
from paceline_adapters.bench.results import CellResults, Results, WorkloadFacts

PointT = TypeVar("PointT")

#: Relative differences below this are ignored. With fewer than four rounds the quartiles are
#: unknown and random differences are often larger.
_NEGLIGIBLE = 0.01
_NEGLIGIBLE_FEW = 0.05


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


class Cost(NamedTuple):
    """Criteria to choose between equally fast settings, most important first."""

    connections: float
    redis: bool
    memory: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """The result of the ranking.

    Attributes:
        constraints: the user's bounds.
        met: cells that meet every bound in every round, by makespan.
        missed: the other candidates, smallest excess first.
        tied: cells of ``met`` with a makespan that cannot be distinguished from the best.
        recommended: the tied cell with the smallest cost.
        not_ranked: cells that are not candidates: hand-written programs, and cells without a
            database server if connections are bounded.
        ratios: makespan ÷ that of the first of ``met``, round by round, by cell name.
    """

    constraints: Constraints
    met: tuple[Verdict, ...]
    missed: tuple[Verdict, ...]
    tied: tuple[Verdict, ...]
    recommended: Verdict | None
    not_ranked: tuple[CellResults, ...]
    ratios: dict[str, Sequence[float]]

    @property
    def nearest(self) -> Verdict | None:
        """The recommended cell, or the one with the smallest excess."""
        return self.recommended or (self.missed[0] if self.missed else None)


def rank(results: Results, constraints: Constraints) -> Ranking:
    """Rank the cells by a user's bounds."""
    candidates, not_ranked = _candidates(results, constraints)
    verdicts = [judge(cell, constraints, results.workload) for cell in candidates]
    met = sorted((one for one in verdicts if not one.excess), key=_by_makespan)
    missed = sorted(
        (one for one in verdicts if one.excess), key=lambda one: (one.excess, *_by_makespan(one))
    )
    if not met:
        return Ranking(constraints, (), tuple(missed), (), None, tuple(not_ranked), {})
    ratios = dict(results.ratios("makespan", met[0].cell.name))
    tied = [one for one in met if one is met[0] or is_tie(ratios[one.cell.name])]
    return Ranking(
        constraints,
        tuple(met),
        tuple(missed),
        tuple(tied),
        min(tied, key=lambda one: (cost(one.cell), *_by_makespan(one))),
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


def is_tie(ratios: Sequence[float]) -> bool:
    """Whether the ratios of two cells, round by round, show no difference."""
    low, _ = quartiles(ratios)
    return low <= 1 + (_NEGLIGIBLE if len(ratios) > 3 else _NEGLIGIBLE_FEW)


def cost(cell: CellResults) -> Cost:
    """What a cell needs besides time."""
    # SQLite needs no server connections.
    unknown = inf if cell.store == "postgresql" else 0.0
    connections, memory = cell.median("connections_peak"), cell.median("rss_peak")
    return Cost(
        unknown if connections is None else connections,
        needs_redis(cell),
        inf if memory is None else memory,
    )


def needs_redis(cell: CellResults) -> bool:
    """Whether the cell's executor uses Redis."""
    return cell.settings.get("executor") in {"celery", "arq"}


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
    ours = [cell for cell in results.cells if not cell.contestant]
    not_ranked = [cell for cell in results.cells if cell.contestant]
    # A bound on connections implies a database server, so SQLite is not a candidate.
    served = [cell for cell in ours if cell.store == "postgresql"]
    if constraints.max_connections is None or not served:
        return ours, not_ranked
    return served, [*(cell for cell in ours if cell.store != "postgresql"), *not_ranked]


def _enforced(quota: int | None, bound: int) -> bool:
    return quota is not None and quota <= bound


def _worst(cell: CellResults, figure: str) -> float | None:
    return max(cell.values(figure), default=None)


def _by_makespan(verdict: Verdict) -> tuple[float, str]:
    return verdict.makespan, verdict.cell.name
