"""Token estimates, corrected by the tokens that the provider counted."""

from dataclasses import dataclass

#: Weights of the newest call in the mean and in the deviation, as in TCP's round-trip times.
_MEAN_WEIGHT, _DEVIATION_WEIGHT = 1 / 8, 1 / 4
#: Largest factor by which an estimate may be wrong, in either direction.
_MAX_RATIO = 100.0


@dataclass(slots=True)
class _Ratio:
    mean: float
    deviation: float
    calls: int = 1

    def observe(self, ratio: float) -> None:
        self.calls += 1
        error = ratio - self.mean
        # At first the plain mean of all calls, so that it adapts quickly.
        self.mean += error * max(_MEAN_WEIGHT, 1 / self.calls)
        self.deviation += (abs(error) - self.deviation) * max(_DEVIATION_WEIGHT, 1 / self.calls)


class TokenEstimates:
    """The ratio of real tokens to estimated tokens, by model and step.

    Mean and mean deviation are computed as Jacobson does for round-trip times ("Congestion
    Avoidance and Control", SIGCOMM 1988). One deviation is added to the mean, so that most calls
    use fewer tokens than were reserved.
    """

    def __init__(self) -> None:
        self._ratios: dict[tuple[str, str | None], _Ratio] = {}

    def reserve(self, key: str, step: str | None, estimate: int) -> int:
        """The tokens to reserve for a call with this estimate."""
        ratio = self._ratios.get((key, step))
        if ratio is None:
            return estimate
        return max(1, round(estimate * (ratio.mean + ratio.deviation)))

    def observe(self, key: str, step: str | None, *, estimate: int, real: int) -> None:
        """Learn from the tokens that a call really used."""
        if estimate <= 0 or real <= 0:
            return
        found = min(_MAX_RATIO, max(1 / _MAX_RATIO, real / estimate))
        ratio = self._ratios.get((key, step))
        if ratio is None:
            self._ratios[key, step] = _Ratio(found, 0.0)
        else:
            ratio.observe(found)
