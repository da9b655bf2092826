"""Where a value lies on an axis, and which values the axis names."""

from dataclasses import dataclass
from math import floor, log10

_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Axis:
    """A straight axis: values from ``low`` to ``high`` lie between two pixels."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: list[float], start: float, end: float) -> "Axis":
        """One that shows all values, with a little room at both ends and nothing below zero."""
        low, high = min(values), max(values)
        room = (high - low) * 0.1 or abs(high) * 0.5 or 1.0
        return cls(max(0.0, low - room), high + room, start, end)

    def at(self, value: float) -> float:
        """The pixel of a value."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, most: int) -> list[float]:
        """Round values within the axis, ``most`` of them or a few fewer."""
        step = _round_step((self.high - self.low) / most)
        first = floor(self.low / step)
        found = [number * step for number in range(first, first + 2 * most + 2)]
        return [value for value in found if self.low <= value <= self.high + step * 1e-9]


def _round_step(value: float) -> float:
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in _STEPS if step * power >= value * (1 - 1e-9))
