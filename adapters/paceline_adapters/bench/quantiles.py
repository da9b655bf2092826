"""Summaries of the values of several rounds: the median and the spread."""

import math
from collections.abc import Sequence
from statistics import median, quantiles

#: Minimum number of values for quartiles; for fewer, the lowest and highest are used.
MIN_FOR_QUARTILES = 4


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The quartiles of the values; the lowest and highest of fewer than four."""
    if len(values) < MIN_FOR_QUARTILES:
        return min(values), max(values)
    low, _, high = quantiles(values, n=4)
    return low, high


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    # Rounded, because 0.07 × 100 is slightly more than 7.
    return ordered[max(1, math.ceil(round(share * len(ordered), 6))) - 1]


def median_text(values: Sequence[float], digits: int = 2) -> str:
    """The median with the quartiles, as ``1.02 (0.99–1.05)``; without them if all are equal."""
    middle, *around = (f"{value:.{digits}f}" for value in (median(values), *quartiles(values)))
    return middle if {middle} == {*around} else f"{middle} ({around[0]}–{around[1]})"
