"""What all workers saw of a provider since a limit was last looked at."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Times:
    """Calls that were answered, and how long they took together."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """One look.

    Calls that were admitted before the last cut tell of the load before it: they count in
    ``taken``, ``held`` and ``busy`` only. While calls are long the load changes under way, so
    what a call took belongs to the load that it met, and not to that at its end.

    Attributes:
        now: its end, in seconds of a clock that only rises.
        seconds: its length.
        held: calls in flight at its end.
        busy: calls in flight, on average.
        taken: calls that began and were not refused.
        refused: calls that were, of those admitted since the last cut.
        met: calls in flight, on average, that answered calls met as they began and ended.
        done: answered calls of those, by step: each kind of answer has a length of its own.
    """

    now: float
    seconds: float
    held: int
    busy: float
    taken: int
    refused: int
    met: float
    done: Mapping[str, Times]

    @property
    def answered(self) -> int:
        """Calls answered of those admitted since the last cut."""
        return sum(times.count for times in self.done.values())
