"""How values of several rounds are told: a middle, and how far they lie apart."""

import math
from collections.abc import Sequence
from statistics import median, quantiles

#: So many values have quartiles; fewer are told by their ends.
QUARTILES = 4


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The quartiles of at least one value; lowest and highest of fewer than four."""
    if len(values) < QUARTILES:
        return min(values), max(values)
    low, _, high = quantiles(values, n=4)
    return low, high


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    ordered = sorted(values)
    # Rounded, as 0.07 × 100 is a little more than 7.
    return ordered[max(1, math.ceil(round(share * len(ordered), 6))) - 1]


def told(values: Sequence[float], digits: int = 2) -> str:
    """The median with the ends in brackets, as ``1.02 (0.99–1.05)``; alone where all agree."""
    middle, *around = (f"{value:.{digits}f}" for value in (median(values), *quartiles(values)))
    return middle if {middle} == {*around} else f"{middle} ({around[0]}–{around[1]})"
