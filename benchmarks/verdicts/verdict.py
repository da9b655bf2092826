"""A claim and its measured figures."""

from dataclasses import dataclass

from paceline_adapters.bench.quantiles import median_text
from paceline_adapters.bench.results import CellResults


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One claim and its measured figures.

    Attributes:
        name: name on the command line.
        claim: the claim.
        verdict: ``holds``, ``does not hold``, or ``holds when …``.
        figures: values with units, by title.
    """

    name: str
    claim: str
    verdict: str
    figures: dict[str, str]


def shown(cell: CellResults, figure: str, unit: str = "", digits: int = 0) -> str:
    """A figure's median with its spread, such as ``12 (11–14) /s``."""
    values = cell.values(figure)
    return f"{median_text(values, digits)} {unit}".strip() if values else "–"


def middle(cell: CellResults, figure: str) -> float:
    """A figure's median; the cell must have the figure."""
    found = cell.median(figure)
    assert found is not None, (cell.name, figure)
    return found
