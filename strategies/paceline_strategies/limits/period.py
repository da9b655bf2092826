"""What all workers observed of a provider since the last decision about a limit."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Number of answered calls of one step, and the sum of their durations."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The observations of one period.

    Calls that were admitted before the last cut belong to the load before it. They count only in
    ``accepted``, ``in_flight`` and ``mean_in_flight``. The load changes while long calls run, so
    the duration of a call is attributed to the load during the call, and not at its end.

    Attributes:
        now: end of the period, in seconds of a clock that only rises.
        seconds: its length.
        in_flight: calls in flight at its end.
        mean_in_flight: calls in flight, on average over the period.
        accepted: calls that started and were not refused.
        refused: refused calls, of those admitted since the last cut.
        load: calls in flight during the answered calls, on average of their starts and ends.
        answers: answered calls by step, because the steps differ in duration.
    """

    now: float
    seconds: float
    in_flight: int
    mean_in_flight: float
    accepted: int
    refused: int
    load: float
    answers: Mapping[str, StepTimes]

    @property
    def answered(self) -> int:
        """Answered calls, of those admitted since the last cut."""
        return sum(times.count for times in self.answers.values())
