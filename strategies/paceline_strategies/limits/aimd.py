"""Grow while calls are taken, fall back when one is refused."""

import math
from dataclasses import dataclass

from paceline_strategies.limits.period import Period

#: Part of the limit that must be in use for it to grow: an idle gate proves nothing.
USED = 0.75
#: Of what the provider took when it refused more, the part that is kept.
_KEPT = 0.95
#: Rounds without growth after a cut; each cut at the same height makes them more.
_FIRST_PATIENCE, _LONGEST_PATIENCE = 3.0, 8.0
#: Seconds that a round lasts at least: a refusal makes everybody pause for as long.
_ROUND = 5.0
#: How far a cut may be from the one before to count as the same height.
_SAME = 0.15


@dataclass(slots=True, kw_only=True)
class Aimd:
    """Additive increase, multiplicative decrease, with a memory of where it was refused.

    The rule is Chiu and Jain's ("Analysis of the Increase and Decrease Algorithms for
    Congestion Avoidance", 1989). As in TCP it doubles each round until the first cut
    (slow start), and as in CUBIC (RFC 9438) it stays for a while below the height of the last
    cut and then probes, carefully at first and faster while nothing objects. A round is as
    many answers as the limit; of a probe it lasts `_ROUND` seconds at least.

    Attributes:
        least: the limit never falls below it, at least 1.
        most: nor rises above it.
        size: the limit, with the part of a call that rounds have earned.
        ceiling: calls that were in flight when one more was too much; ``None`` before that.
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
        """Whether the limit was what held calls back."""
        return period.busy >= USED * self.limit

    def grow(self, period: Period, *, reach: float = math.inf) -> None:
        """Take note of answers that came while the limit was in use.

        Args:
            period: what was seen.
            reach: how far it may grow; it does not fall to that.
        """
        reach = max(reach, self.size)
        if self.ceiling is None:
            self._to(min(reach, self.size + period.answered))
            return
        self.rounds += min(period.answered / self.size, period.seconds / _ROUND)
        if self.rounds < self.patience:
            return
        self.rounds = self.patience - 1.0  # the next step is a round away
        grown = self.size + self.step
        if self.size < self.ceiling < grown:
            self._to(min(reach, self.ceiling))  # it was taken before; only the next step is a probe
        else:
            self._to(min(reach, grown))
            self.step = min(2 * self.step, max(1.0, self.size / 2))

    def cut(self, taken: float) -> None:
        """More than ``taken`` calls in flight are too many: fall below that, at most by half."""
        known = self.ceiling
        same = known is not None and abs(taken - known) <= _SAME * known
        self.patience = min(_LONGEST_PATIENCE, 1.5 * self.patience) if same else _FIRST_PATIENCE
        self.ceiling = max(float(self.least), min(taken, self.size))
        self.rounds, self.step = 0.0, 1.0
        below = min(self.limit - 1.0, math.ceil(_KEPT * taken))
        self._to(max(self.limit // 2, below))

    def _to(self, size: float) -> None:
        self.size = max(float(self.least), min(float(self.most), size))
