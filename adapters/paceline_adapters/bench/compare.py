"""Compares the ratios of two benchmarks of the same cells.

Absolute times differ with the state of the machine, so ratios are compared: each cell's figure
÷ the median over all cells of the same benchmark.
"""

from dataclasses import dataclass
from statistics import median

from paceline import SettingsError

from paceline_adapters.bench.results import Results

#: Relative difference above which a ratio is an outlier.
TOLERANCE = 0.10


@dataclass(frozen=True, slots=True)
class Compared:
    """One cell in two benchmarks.

    Attributes:
        first: its figure ÷ the median of all common cells, in the first benchmark.
        second: the same in the second benchmark.
    """

    cell: str
    first: float
    second: float

    @property
    def change(self) -> float:
        """Relative change of the ratio: 0.1 means 10 % more in the second benchmark."""
        return self.second / self.first - 1.0

    @property
    def outlier(self) -> bool:
        """Whether the change exceeds the tolerance."""
        return abs(self.change) > TOLERANCE


def compare(first: Results, second: Results, figure: str = "makespan") -> list[Compared]:
    """The cells that both benchmarks have, in the order of the first.

    Raises:
        SettingsError: they have fewer than two cells in common.
    """
    ours = {cell.name: cell.median(figure) for cell in first.cells}
    theirs = {cell.name: cell.median(figure) for cell in second.cells}
    both = {
        name: (one, other)
        for name, one in ours.items()
        if one and (other := theirs.get(name)) is not None and other
    }
    if len(both) < 2:
        raise SettingsError("--compare needs at least two cells that both results have")
    base = median(one for one, _ in both.values())
    other_base = median(other for _, other in both.values())
    return [Compared(name, one / base, other / other_base) for name, (one, other) in both.items()]
