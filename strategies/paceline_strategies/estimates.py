"""Estimates of tokens, corrected by what the provider counted."""

from dataclasses import dataclass

#: Weights of the newest call, in the mean and in the deviation: those of TCP's round-trip times.
_MEAN, _DEVIATION = 1 / 8, 1 / 4
#: How far off an estimate may be, either way.
_FURTHEST = 100.0


@dataclass(slots=True)
class _Ratio:
    mean: float
    deviation: float
    calls: int = 1

    def observe(self, ratio: float) -> None:
        self.calls += 1
        error = ratio - self.mean
        # Quick at first: the mean of all, until there are many.
        self.mean += error * max(_MEAN, 1 / self.calls)
        self.deviation += (abs(error) - self.deviation) * max(_DEVIATION, 1 / self.calls)


class Estimates:
    """How many times their estimate calls really cost, by model and step.

    The mean and the mean deviation are kept as Jacobson does it for round-trip times
    ("Congestion Avoidance and Control", SIGCOMM 1988): so that most calls cost less than what
    is reserved for them, one deviation is added.
    """

    def __init__(self) -> None:
        self._ratios: dict[tuple[str, str | None], _Ratio] = {}

    def reserve(self, key: str, step: str | None, estimate: int) -> int:
        """Tokens to reserve for a call that is estimated to cost so many."""
        ratio = self._ratios.get((key, step))
        if ratio is None:
            return estimate
        return max(1, round(estimate * (ratio.mean + ratio.deviation)))

    def observe(self, key: str, step: str | None, *, estimate: int, real: int) -> None:
        """A call cost so many tokens in truth."""
        if estimate <= 0 or real <= 0:
            return
        found = min(_FURTHEST, max(1 / _FURTHEST, real / estimate))
        ratio = self._ratios.get((key, step))
        if ratio is None:
            self._ratios[key, step] = _Ratio(found, 0.0)
        else:
            ratio.observe(found)
