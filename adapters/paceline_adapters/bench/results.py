"""Results: what one call of the benchmark measured, as a file that outlives it.

The file is what the report is made from, what two runs are compared by, and what other tools
read. It is one JSON document; ``FORMAT`` rises when a reader of an older one would misread it.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from paceline_adapters.bench.cells import StoreName
from paceline_adapters.bench.spread import quartiles

FORMAT = 1


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Timeline(_Document):
    """Samples over one round; all lists are equally long."""

    seconds: list[float]
    """Since the first submission."""
    roadmaps: list[float]
    concepts: list[float]
    calls: list[float]
    connections: list[float]
    """On the server; 0 with SQLite, which has none."""
    events: list[float]
    """Per second, over the last second."""


class Round(_Document):
    """One measurement of one cell."""

    number: int
    """From 1; the warm-up is not among them."""
    order: int
    """Its place in the sequence of all measurements of this call."""
    figures: dict[str, float]
    """By the names of ``FIGURES``; what a cell cannot know is missing."""
    timeline: Timeline | None = None


class CellResults(_Document):
    """All rounds of one cell."""

    name: str
    strategy: str
    executor: str
    store: StoreName
    contestant: str = ""
    """Set where a hand-written program was measured instead of paceline."""
    settings: dict[str, str]
    """What of ``paceline.toml`` makes this cell, by dotted path."""
    rounds: list[Round]

    def values(self, figure: str) -> list[float]:
        """A figure's value in each round that has it."""
        return [found.figures[figure] for found in self.rounds if figure in found.figures]

    def median(self, figure: str) -> float | None:
        """The figure's median over all rounds; ``None`` where no round has it."""
        values = self.values(figure)
        return median(values) if values else None

    def spread(self, figure: str) -> tuple[float, float] | None:
        """The figure's quartiles; lowest and highest where there are fewer than four rounds."""
        values = self.values(figure)
        return quartiles(values) if values else None

    @property
    def typical(self) -> Round:
        """The round whose makespan is nearest the median: whose time line is shown."""
        middle = self.median("makespan") or 0.0
        return min(self.rounds, key=lambda found: abs(found.figures["makespan"] - middle))


class WorkloadFacts(_Document):
    """What was generated."""

    name: str
    seed: int
    speed: float
    """Latencies were divided by it."""
    roadmaps: dict[str, int]
    """Concepts by title."""
    latency: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]]
    """Seconds at speed 1 by step, low and high."""
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    """Calls at once that the provider took."""


class Machine(_Document):
    """Where it was measured."""

    cores: int
    memory_gib: float
    system: str
    python: str
    versions: dict[str, str]
    """Of the packages and servers that were measured with."""


class Results(_Document):
    """Everything that one call measured."""

    format: int = FORMAT
    paceline: str
    made_at: str
    """UTC, ISO 8601."""
    command: str
    """What was typed."""
    machine: Machine
    workload: WorkloadFacts
    cells: list[CellResults]

    def ratios(self, figure: str, to: str) -> Mapping[str, Sequence[float]]:
        """A figure of each cell ÷ that of the cell named ``to``, round by round.

        Rounds are interleaved, so a machine that drifts hurts both sides of a ratio alike.
        """
        (base,) = (cell for cell in self.cells if cell.name == to)
        return {
            cell.name: [
                mine.figures[figure] / theirs.figures[figure]
                for mine, theirs in zip(cell.rounds, base.rounds, strict=False)
                if theirs.figures.get(figure) and figure in mine.figures
            ]
            for cell in self.cells
        }
