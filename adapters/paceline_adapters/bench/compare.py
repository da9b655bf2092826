"""Two runs of the same cells: do their ratios agree?

Seconds of two runs differ with the machine's mood; what a benchmark claims are ratios, so these
are compared: each cell's figure ÷ the median of all cells' in its own run.
"""

from dataclasses import dataclass
from statistics import median

from paceline import SettingsError

from paceline_adapters.bench.results import Results

#: Ratios that differ by more are outliers.
TOLERANCE = 0.10


@dataclass(frozen=True, slots=True)
class Compared:
    """One cell in two runs.

    Attributes:
        cell: its name.
        first: its figure ÷ the median of the cells that both runs have, in the first run.
        second: in the second.
    """

    cell: str
    first: float
    second: float

    @property
    def change(self) -> float:
        """By which share the ratio differs: 0.1 is 10 % more in the second run."""
        return self.second / self.first - 1.0

    @property
    def outlier(self) -> bool:
        """Whether that is more than the tolerance."""
        return abs(self.change) > TOLERANCE


def compare(first: Results, second: Results, figure: str = "makespan") -> list[Compared]:
    """The cells that both runs have, in the order of the first.

    Raises:
        SettingsError: they have no two cells in common.
    """
    ours = {cell.name: cell.median(figure) for cell in first.cells}
    theirs = {cell.name: cell.median(figure) for cell in second.cells}
    both = {
        name: (one, other)
        for name, one in ours.items()
        if one and (other := theirs.get(name)) is not None and other
    }
    if len(both) < 2:
        raise SettingsError("the two runs have no two cells in common, so there is no ratio")
    base = median(one for one, _ in both.values())
    other_base = median(other for _, other in both.values())
    return [Compared(name, one / base, other / other_base) for name, (one, other) in both.items()]
