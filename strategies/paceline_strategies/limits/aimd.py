"""Grow while calls are accepted, shrink when one is refused."""

import math
from dataclasses import dataclass

from paceline_strategies.limits.period import Period

#: Part of the limit that must be in use for it to grow: unused capacity is no evidence.
USED = 0.75
#: Part of the accepted calls that remains after a cut.
_KEPT = 0.95
#: Rounds without growth after a cut: at first, and at most after cuts at the same height.
_FIRST_PATIENCE, _LONGEST_PATIENCE = 3.0, 8.0
#: Shortest round in seconds: about the time that a refusal pauses all calls.
_ROUND = 5.0
#: Largest relative distance of two cuts that count as the same height.
_SAME = 0.15


@dataclass(slots=True, kw_only=True)
class Aimd:
    """Additive increase, multiplicative decrease, with a memory of where it was refused.

    The rule is Chiu and Jain's ("Analysis of the Increase and Decrease Algorithms for
    Congestion Avoidance", 1989). As in TCP, the limit doubles each round until the first cut
    (slow start). As in CUBIC (RFC 9438), it then stays below the height of the last cut for a
    while and probes, carefully at first and faster while no call is refused. A round is as many
    answers as the limit. After a cut it lasts at least `_ROUND` seconds.

    Attributes:
        least: lower bound of the limit, at least 1.
        most: upper bound of the limit.
        size: the limit, with fractions of a call.
        ceiling: calls in flight at the last cut; ``None`` before the first.
    """

    least: int
    most: int
    size: float
    ceiling: float | None = None
    patience: float = _FIRST_PATIENCE
    rounds: float = 0.0
    step: float = 1.0

    @property
    def limit(self) -> int:
        """Calls that may be in flight."""
        return int(self.size)

    def used(self, period: Period) -> bool:
        """Whether the limit was in use."""
        return period.mean_in_flight >= USED * self.limit

    def grow(self, period: Period, *, reach: float = math.inf) -> None:
        """Grow, by the answers of a period in which the limit was in use.

        Args:
            period: the observations.
            reach: upper bound of the growth; the limit does not shrink to it.
        """
        reach = max(reach, self.size)
        if self.ceiling is None:
            self._set(min(reach, self.size + period.answered))
            return
        self.rounds += min(period.answered / self.size, period.seconds / _ROUND)
        if self.rounds < self.patience:
            return
        self.rounds = self.patience - 1.0  # the next step follows after one round
        grown = self.size + self.step
        if self.size < self.ceiling < grown:
            self._set(min(reach, self.ceiling))  # accepted before; the next step is the probe
        else:
            self._set(min(reach, grown))
            self.step = min(2 * self.step, max(1.0, self.size / 2))

    def cut(self, accepted: float) -> None:
        """Shrink below ``accepted`` calls in flight, but at most by half."""
        known = self.ceiling
        same = known is not None and abs(accepted - known) <= _SAME * known
        self.patience = min(_LONGEST_PATIENCE, 1.5 * self.patience) if same else _FIRST_PATIENCE
        self.ceiling = max(float(self.least), min(accepted, self.size))
        self.rounds, self.step = 0.0, 1.0
        below = min(self.limit - 1.0, math.ceil(_KEPT * accepted))
        self._set(max(self.limit // 2, below))

    def _set(self, size: float) -> None:
        self.size = max(float(self.least), min(float(self.most), size))
