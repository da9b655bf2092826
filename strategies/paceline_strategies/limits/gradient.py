"""Detects by latency that more calls only make the provider slower."""

import math
from dataclasses import dataclass, field
from typing import Literal

from paceline_strategies.limits.period import Period

Verdict = Literal["open", "grows", "slow", "knee", "slower"]

#: Fewest and most answers that a judgement needs.
_FEWEST, _MOST = 16, 64
#: The anchor is updated up to _NEAR times its calls; growth is judged from _FAR times on.
_NEAR, _FAR = 1.2, 1.5
#: Multiple of the anchor's calls that is tried before a judgement; lower after a cut.
_REACH, _REACH_AFTER_CUT = 2.5, 1.75
#: Gradient at which more calls do not pay: 0 is an unloaded server, 1 one that only queues.
_STEEP = 0.65
#: Multiple of the unloaded latency that is suspicious by itself.
_TOO_SLOW = 2.5
#: Multiple of the unloaded latency that a server has at its best throughput.
_ROOM = 1.5
#: Calls in flight above this part count as no fewer than before.
_FEWER = 0.9
#: Weight of a new measurement near the anchor.
_WEIGHT = 0.25


@dataclass(slots=True)
class Anchor:
    """The latency at a certain load.

    Attributes:
        seconds: mean latency by step.
    """

    calls: float
    seconds: dict[str, float]


@dataclass(slots=True)
class Gradient:
    """Compares the current latency and load with an anchor: those with fewer calls in flight.

    Below its knee, a server answers more calls in the same time. Beyond it, more calls only
    wait longer. So the gradient is ``log(latency ratio) / log(calls ratio)``: near 0, growth
    pays and the anchor moves up; near 1, the anchor was enough. The idea is from TCP Vegas
    (Brakmo, O'Malley, Peterson, 1994: expected against actual throughput) and Netflix
    concurrency-limits (``Gradient2``: averages instead of minima, because answers differ).
    The comparison is with a moving anchor, not with an unloaded server. So servers that slow
    down a little with each call, as batching ones do, are not mistaken for overloaded ones.

    Many small steps might each be misjudged. Their sum is limited to `_TOO_SLOW` times the
    latency of the lowest anchor. If that latency does not fall with fewer calls, the provider
    itself became slower, and the unloaded latency is corrected.

    Attributes:
        anchor: the load and latency to compare with.
        unloaded: latency of the lowest load measured ÷ latency of the anchor.
        ratio: latency ÷ latency of the anchor, at the last judgement.
        calls: calls in flight at the last judgement.
        suspect: (ratio, calls) of a judgement that found the latency too high.
        knee: whether that judgement found that more calls only took longer.
        answers: answers since the last judgement.
        load: sum of the load over these answers.
        times: by step, number of these answers and sum of their durations.
    """

    anchor: Anchor | None = None
    unloaded: float = 1.0
    ratio: float = 1.0
    calls: float = 0.0
    suspect: tuple[float, float] | None = None
    knee: bool = False
    answers: int = 0
    load: float = 0.0
    times: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])

    @property
    def enough(self) -> float:
        """Calls in flight that reach the throughput of the last judgement.

        By Little's law the throughput is ``calls ÷ latency``. An unloaded server would need
        ``throughput × unloaded latency`` calls for it. A server at its best throughput is not
        unloaded, hence `_ROOM`. One judgement removes at most half of the calls.
        """
        return self.calls * max(0.5, min(1.0, _ROOM * self.unloaded / self.ratio))

    def reach(self, *, cut: bool) -> float:
        """Calls in flight that may be tried before the next judgement: fewer after a cut."""
        if self.anchor is None:
            return math.inf
        return (_REACH_AFTER_CUT if cut else _REACH) * self.anchor.calls

    def forget(self) -> None:
        """Restart the measurement, because the limit was cut."""
        self.answers, self.load = 0, 0.0
        self.times.clear()

    def judge(self, period: Period, size: float, *, lowest: bool = False) -> Verdict:
        """Count answers, and judge as soon as there are enough of them.

        Args:
            period: the observations.
            size: the limit.
            lowest: whether the limit is at its lower bound, so that it cannot be cut.

        Returns:
            ``open``: not known yet, or the load is too near to the anchor. ``grows``: more
            calls increased the throughput. ``knee``: they only took longer. ``slow``: much
            slower than unloaded, so try whether fewer calls help. ``slower``: they did not.
        """
        for step, times in period.answers.items():
            count, seconds = self.times.get(step, (0, 0.0))
            self.times[step] = (count + times.count, seconds + times.seconds)
        self.answers += period.answered
        self.load += period.load * period.answered
        if self.answers < max(_FEWEST, min(size, _MOST)):
            return "open"
        self.calls = max(1.0, self.load / self.answers)
        means = {step: seconds / count for step, (count, seconds) in self.times.items() if count}
        if self.anchor is None:
            self.anchor = Anchor(self.calls, means)
        self.ratio = self._ratio(self.anchor, means)
        self.forget()
        return self._verdict(self.anchor, means, lowest=lowest)

    def _ratio(self, anchor: Anchor, means: dict[str, float]) -> float:
        """Latency ÷ latency of the anchor, for the same mix of steps."""
        common = [step for step in means if anchor.seconds.get(step)]
        if not common:
            anchor.seconds.update(means)
            return 1.0
        now = sum(self.times[step][1] for step in common)
        then = sum(self.times[step][0] * anchor.seconds[step] for step in common)
        ratio = max(now / then, 1e-3)
        for step, mean in means.items():  # a step that is new at this load
            anchor.seconds.setdefault(step, mean / ratio)
        return ratio

    def _verdict(self, anchor: Anchor, means: dict[str, float], *, lowest: bool) -> Verdict:
        if self.suspect is not None:
            (slow, many), self.suspect = self.suspect, None
            fewer = self.calls < _FEWER * many  # false if the limit is at its lower bound
            helped = fewer and self.ratio <= slow * (1.0 + self.calls / many) / 2
            if not helped and (fewer or not self.knee):
                self._move(anchor, means)
                self.unloaded = 1.0
                return "slower"
        if self.calls <= _NEAR * anchor.calls:
            self._renew(anchor)
        if self.ratio > _TOO_SLOW * self.unloaded:
            self.suspect, self.knee = (self.ratio, self.calls), False
            return "slow"
        if self.calls < _FAR * anchor.calls:
            return "open"
        steepness = math.log(self.ratio) / math.log(self.calls / anchor.calls)
        if steepness >= _STEEP:
            if lowest:
                # No load near the anchor can be measured again, so it would be kept for ever.
                self._move(anchor, means)
                self.unloaded = 1.0
                return "slower"
            # With fewer calls the latency must fall, or the anchor is out of date.
            self.suspect, self.knee = (self.ratio, self.calls), True
            return "knee"
        self._move(anchor, means)
        return "grows"

    def _renew(self, anchor: Anchor) -> None:
        """Update the anchor by a measurement near or below it."""
        weight = 1.0 if self.calls < anchor.calls / _NEAR else _WEIGHT
        anchor.calls += weight * (self.calls - anchor.calls)
        scale = 1.0 + weight * (self.ratio - 1.0)
        for step in anchor.seconds:
            anchor.seconds[step] *= scale
        self.ratio /= scale
        # The unloaded latency in seconds is unchanged, so its ratio to the anchor's changes.
        self.unloaded = min(1.0, self.unloaded / scale)

    def _move(self, anchor: Anchor, means: dict[str, float]) -> None:
        anchor.calls = self.calls
        anchor.seconds.update(means)
        self.unloaded = min(1.0, self.unloaded / self.ratio)
        self.ratio = 1.0
