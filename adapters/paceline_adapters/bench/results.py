"""The results file of a benchmark.

The report is made from it, two benchmarks are compared by it, and other tools can read it. It is
one JSON document. ``FORMAT`` rises when older readers would misread a new file.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from paceline_adapters.bench.quantiles import quartiles

FORMAT = 1


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Timeline(_Document):
    """Samples over one round; all lists have the same length."""

    seconds: list[float]
    """Since the first submission."""
    roadmaps: list[float]
    concepts: list[float]
    calls: list[float]
    connections: list[float]
    """Open connections to the database server or SQLite file; 0 if they cannot be seen."""
    events: list[float]
    """Events within the last second."""


class Round(_Document):
    """One measurement of one cell."""

    number: int
    """From 1; warm-up rounds are not included."""
    order: int
    """Position in the sequence of all measurements."""
    figures: dict[str, float]
    """Values by the names of ``FIGURES``; figures that could not be measured are missing."""
    timeline: Timeline | None = None


def _uses_redis(cell: dict[str, Any]) -> bool:
    """For results of earlier versions, which had the built-in executors only."""
    settings: dict[str, str] = cell.get("settings", {})
    return settings.get("executor") in {"celery", "arq"}


class CellResults(_Document):
    """All rounds of one cell."""

    name: str
    strategy: str
    executor: str
    store: str
    """The store with its options, as the user wrote it."""
    contestant: str = ""
    """Name of the hand-written program that was measured instead of paceline, if any."""
    settings: dict[str, str]
    """The settings of this cell, by dotted path."""
    redis: bool = Field(default_factory=_uses_redis)
    """Whether paceline needs Redis with these settings."""
    rounds: list[Round]

    def values(self, figure: str) -> list[float]:
        """A figure's value in each round that has it."""
        return [found.figures[figure] for found in self.rounds if figure in found.figures]

    def median(self, figure: str) -> float | None:
        """The figure's median over all rounds; ``None`` if no round has it."""
        values = self.values(figure)
        return median(values) if values else None

    def spread(self, figure: str) -> tuple[float, float] | None:
        """The figure's quartiles; with fewer than four rounds, the lowest and highest."""
        values = self.values(figure)
        return quartiles(values) if values else None

    @property
    def typical(self) -> Round:
        """The round with the makespan nearest the median; the report shows its timeline."""
        middle = self.median("makespan") or 0.0
        return min(self.rounds, key=lambda found: abs(found.figures["makespan"] - middle))


class WorkloadFacts(_Document):
    """What was generated."""

    name: str
    seed: int
    speed: float
    """Latencies were divided by it."""
    roadmaps: dict[str, int]
    """Number of concepts by title."""
    latency: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]]
    """Seconds at speed 1 by step, low and high."""
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    """The provider's limit of calls at once."""


class Machine(_Document):
    """The machine of the benchmark."""

    cores: int
    memory_gib: float
    system: str
    python: str
    versions: dict[str, str]
    """Versions of packages and servers."""


class Results(_Document):
    """Everything that one benchmark measured."""

    format: int = FORMAT
    paceline: str
    made_at: str
    """UTC, ISO 8601."""
    command: str
    """The command line."""
    machine: Machine
    workload: WorkloadFacts
    cells: list[CellResults]

    def ratios(self, figure: str, to: str) -> Mapping[str, Sequence[float]]:
        """A figure of each cell ÷ the same figure of the cell ``to``, round by round.

        Rounds are interleaved, so a slower machine affects both sides of a ratio alike.
        """
        (base,) = (cell for cell in self.cells if cell.name == to)
        return {
            cell.name: [
                measured.figures[figure] / reference.figures[figure]
                for measured, reference in zip(cell.rounds, base.rounds, strict=False)
                if reference.figures.get(figure) and figure in measured.figures
            ]
            for cell in self.cells
        }
