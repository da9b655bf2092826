"""A statement, what was measured of it, and how a figure is told."""

from dataclasses import dataclass

from paceline_adapters.bench.results import CellResults
from paceline_adapters.bench.quantiles import median_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One statement held against what was measured.

    Attributes:
        name: how the command calls it.
        said: the statement.
        verdict: ``holds``, ``does not hold``, or ``holds when …``.
        figures: what was measured, title to value with its unit.
    """

    name: str
    said: str
    verdict: str
    figures: dict[str, str]


def shown(cell: CellResults, figure: str, unit: str = "", digits: int = 0) -> str:
    """A figure's median with its spread, as ``12 (11–14) /s``."""
    values = cell.values(figure)
    return f"{median_text(values, digits)} {unit}".strip() if values else "–"


def middle(cell: CellResults, figure: str) -> float:
    """A figure's median, which the cell must have."""
    found = cell.median(figure)
    assert found is not None, (cell.name, figure)
    return found
