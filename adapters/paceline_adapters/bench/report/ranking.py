"""Which measured setting fits a user's bounds best: no text, no pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import NamedTuple, TypeVar

from paceline import UsageError

from paceline_adapters.bench.results import CellResults, Results, WorkloadFacts
from paceline_adapters.bench.spread import quartiles

PointT = TypeVar("PointT")

#: A difference smaller than this is none. With fewer than four rounds the quartiles are not
#: known, and a chance difference is often larger.
_NEGLIGIBLE = 0.01
_NEGLIGIBLE_FEW = 0.05


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a setting must keep to; ``None`` leaves it open.

    Attributes:
        max_connections: of all our processes on the database server, at any time.
        max_events: progress events within one second.
        rpm: requests that the provider takes in a minute.
        tpm: tokens that the provider takes in a minute.
    """

    max_connections: int | None = None
    max_events: float | None = None
    rpm: int | None = None
    tpm: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not 0 < value < inf:
                raise UsageError(f"{field.name}: {value} is no bound; give a number above 0")


@dataclass(frozen=True, slots=True)
class Check:
    """One bound and what a cell showed.

    Attributes:
        what: what is bounded, in words.
        bound: the user's.
        worst: the highest of any round; ``None`` where no round has the figure.
    """

    what: str
    bound: float
    worst: float | None

    @property
    def excess(self) -> float:
        """By which share the bound is broken; 0 where it is kept, endless where unknown."""
        if self.worst is None:
            return inf
        return max(0.0, self.worst / self.bound - 1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A cell against all bounds."""

    cell: CellResults
    checks: tuple[Check, ...]

    @property
    def excess(self) -> float:
        """Of the bound that is broken most; 0 where all are kept."""
        return max((check.excess for check in self.checks), default=0.0)

    @property
    def makespan(self) -> float:
        """The median of its rounds, seconds."""
        return self.cell.median("makespan") or 0.0


class Burden(NamedTuple):
    """What decides between settings that are equally fast, the weightiest first."""

    connections: float
    redis: bool
    memory: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """The answer.

    Attributes:
        constraints: what was asked for.
        met: cells that keep every bound in every round, by makespan.
        missed: the others, those that fail by least first.
        tied: those of ``met`` whose makespan cannot be told from the best one's.
        recommended: of the tied, the one with the least burden.
        aside: cells that are no candidates: written by hand, or without the server that a bound
            on connections speaks of.
        ratios: makespan ÷ that of the first of ``met``, round by round, by cell name.
    """

    constraints: Constraints
    met: tuple[Verdict, ...]
    missed: tuple[Verdict, ...]
    tied: tuple[Verdict, ...]
    recommended: Verdict | None
    aside: tuple[CellResults, ...]
    ratios: dict[str, Sequence[float]]

    @property
    def nearest(self) -> Verdict | None:
        """The recommended cell, or the one that fails by least."""
        return self.recommended or (self.missed[0] if self.missed else None)


def rank(results: Results, constraints: Constraints) -> Ranking:
    """Order the cells for a user's bounds."""
    candidates, aside = _candidates(results, constraints)
    verdicts = [judge(cell, constraints, results.workload) for cell in candidates]
    met = sorted((one for one in verdicts if not one.excess), key=_by_makespan)
    missed = sorted(
        (one for one in verdicts if one.excess), key=lambda one: (one.excess, *_by_makespan(one))
    )
    if not met:
        return Ranking(constraints, (), tuple(missed), (), None, tuple(aside), {})
    ratios = dict(results.ratios("makespan", met[0].cell.name))
    tied = [one for one in met if one is met[0] or is_tie(ratios[one.cell.name])]
    return Ranking(
        constraints,
        tuple(met),
        tuple(missed),
        tuple(tied),
        min(tied, key=lambda one: (burden(one.cell), *_by_makespan(one))),
        tuple(aside),
        ratios,
    )


def judge(cell: CellResults, constraints: Constraints, workload: WorkloadFacts) -> Verdict:
    """Hold a cell's worst round against each bound.

    Requests per minute count only where the workload had no such quota: where it had one, the
    provider itself refused what was too much. They are those of a provider at speed 1.
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


def unjudged(constraints: Constraints, workload: WorkloadFacts) -> bool:
    """Whether there is a bound on tokens that the measurement says nothing about."""
    return constraints.tpm is not None and not _enforced(workload.tpm, constraints.tpm)


def is_tie(ratios: Sequence[float]) -> bool:
    """Whether ratios of one cell to another, round by round, show no difference."""
    low, _ = quartiles(ratios)
    return low <= 1 + (_NEGLIGIBLE if len(ratios) > 3 else _NEGLIGIBLE_FEW)


def burden(cell: CellResults) -> Burden:
    """What a cell asks for besides time."""
    # SQLite has no connections on a server: nothing is asked of one.
    unknown = inf if cell.store == "postgresql" else 0.0
    connections, memory = cell.median("connections_peak"), cell.median("rss_peak")
    return Burden(
        unknown if connections is None else connections,
        needs_redis(cell),
        inf if memory is None else memory,
    )


def needs_redis(cell: CellResults) -> bool:
    """Whether its executor works through Redis."""
    return cell.settings.get("executor") in {"celery", "arq"}


def pareto(
    points: Sequence[PointT], costs: Callable[[PointT], tuple[float, float]]
) -> list[PointT]:
    """The points that no other beats: none is as cheap in both costs and cheaper in one."""
    return [
        point for point in points if not any(_beats(costs(other), costs(point)) for other in points)
    ]


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] <= other[0] and one[1] <= other[1]


def _candidates(
    results: Results, constraints: Constraints
) -> tuple[list[CellResults], list[CellResults]]:
    ours = [cell for cell in results.cells if not cell.contestant]
    aside = [cell for cell in results.cells if cell.contestant]
    # Who bounds connections has a server: SQLite would win by being no answer.
    served = [cell for cell in ours if cell.store == "postgresql"]
    if constraints.max_connections is None or not served:
        return ours, aside
    return served, [*(cell for cell in ours if cell.store != "postgresql"), *aside]


def _enforced(quota: int | None, bound: int) -> bool:
    return quota is not None and quota <= bound


def _worst(cell: CellResults, figure: str) -> float | None:
    return max(cell.values(figure), default=None)


def _by_makespan(verdict: Verdict) -> tuple[float, str]:
    return verdict.makespan, verdict.cell.name
