"""A chart axis: the position of values, and tick values."""

from dataclasses import dataclass
from math import floor, log10

_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear axis: values from ``low`` to ``high`` lie between two pixels."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: list[float], start: float, end: float) -> "Axis":
        """An axis that shows all values, with a margin at both ends and not below zero."""
        low, high = min(values), max(values)
        margin = (high - low) * 0.1 or abs(high) * 0.5 or 1.0
        return cls(max(0.0, low - margin), high + margin, start, end)

    def at(self, value: float) -> float:
        """The pixel of a value."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, limit: int) -> list[float]:
        """Round values within the axis, at most about ``limit``."""
        step = _round_step((self.high - self.low) / limit)
        first = floor(self.low / step)
        found = [number * step for number in range(first, first + 2 * limit + 2)]
        return [value for value in found if self.low <= value <= self.high + step * 1e-9]


def _round_step(value: float) -> float:
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in _STEPS if step * power >= value * (1 - 1e-9))
