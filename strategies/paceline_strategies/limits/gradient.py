"""Recognise by its latency a provider that only gets slower."""

import math
from dataclasses import dataclass, field
from typing import Literal

from paceline_strategies.limits.period import Period

Verdict = Literal["open", "grows", "slow", "knee", "slower"]

#: Answers that a judgement takes at least, and at most.
_FEWEST, _MOST = 16, 64
#: The anchor is renewed up to this many times its calls; growth is judged from that many on.
_NEAR, _FAR = 1.2, 1.5
#: Times the anchor's calls that are tried before they are judged; less where a cut was before.
_REACH, _REACH_AFTER_CUT = 2.5, 1.75
#: Part of more calls that may be lost to latency: 0 a free server, 1 one that only queues.
_STEEP = 0.65
#: Times the unloaded latency that is a suspicion by itself.
_TOO_SLOW = 2.5
#: Times the latency of an idle server that one at its best has.
_ROOM = 1.5
#: Part of the calls above which they are as many as before.
_FEWER = 0.9
#: Weight of a new measurement near the anchor.
_WEIGHT = 0.25


@dataclass(slots=True)
class Anchor:
    """How long calls took with so many in flight.

    Attributes:
        calls: in flight.
        seconds: mean by step.
    """

    calls: float
    seconds: dict[str, float]


@dataclass(slots=True)
class Gradient:
    """Compares latency and load now with those at an anchor, where fewer calls were in flight.

    A server below its knee answers more calls in the same time; beyond it, more calls only
    wait longer. So the gradient is ``log(latency ratio) / log(calls ratio)``: near 0, growth
    pays and the anchor moves up; near 1, the anchor was enough. The idea is TCP Vegas'
    (Brakmo, O'Malley, Peterson, 1994: expected against actual throughput) and Netflix
    concurrency-limits' (``Gradient2``: averages rather than minima, since answers differ).
    Comparing with an anchor that moves, not with an idle server, lets servers pass that slow
    down a little with each call, as batching ones do.

    Creeping up in small steps that are each misjudged ends at `_TOO_SLOW` times the latency of
    the lowest anchor. Where that does not fall with fewer calls, the provider itself became
    slower, and what is called unloaded is corrected.

    Attributes:
        anchor: the comparison.
        idle: the latency of the lowest load measured, as a part of the anchor's.
        ratio: latency now ÷ at the anchor, at the last judgement.
        calls: calls in flight at the last judgement.
    """

    anchor: Anchor | None = None
    idle: float = 1.0
    ratio: float = 1.0
    calls: float = 0.0
    suspect: tuple[float, float] | None = None
    answers: int = 0
    met: float = 0.0
    seen: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])

    @property
    def enough(self) -> float:
        """Calls in flight that bring as much as those of the last judgement.

        By Little's law these answer ``calls ÷ latency`` a second, for which as many suffice as
        that rate has in flight at the latency of an idle server. A server that is at its best
        is no idle one, hence `_ROOM`; one judgement takes half of the calls at most.
        """
        return self.calls * max(0.5, min(1.0, _ROOM * self.idle / self.ratio))

    def reach(self, *, cut: bool) -> float:
        """Calls in flight that may be tried, until it is known what so many bring.

        Args:
            cut: whether more than it takes was tried before.
        """
        if self.anchor is None:
            return math.inf
        return (_REACH_AFTER_CUT if cut else _REACH) * self.anchor.calls

    def forget(self) -> None:
        """Begin to measure anew: the limit was cut."""
        self.answers, self.met = 0, 0.0
        self.seen.clear()

    def judge(self, period: Period, size: float) -> Verdict:
        """Take note of answers; judge as soon as there are enough of them.

        Returns:
            ``open``: not yet known, or too near the anchor to tell. ``grows``: more calls
            brought more. ``knee``: they only took longer. ``slow``: too long against an idle
            server; look whether fewer calls help. ``slower``: they did not help.
        """
        for step, times in period.done.items():
            count, seconds = self.seen.get(step, (0, 0.0))
            self.seen[step] = (count + times.count, seconds + times.seconds)
        self.answers += period.answered
        self.met += period.met * period.answered
        if self.answers < max(_FEWEST, min(size, _MOST)):
            return "open"
        self.calls = max(1.0, self.met / self.answers)
        means = {step: seconds / count for step, (count, seconds) in self.seen.items() if count}
        if self.anchor is None:
            self.anchor = Anchor(self.calls, means)
        self.ratio = self._ratio(self.anchor, means)
        self.forget()
        return self._verdict(self.anchor, means)

    def _ratio(self, anchor: Anchor, means: dict[str, float]) -> float:
        """Latency ÷ the anchor's, for the mix of steps that was answered."""
        common = [step for step in means if anchor.seconds.get(step)]
        if not common:
            anchor.seconds.update(means)
            return 1.0
        now = sum(self.seen[step][1] for step in common)
        then = sum(self.seen[step][0] * anchor.seconds[step] for step in common)
        ratio = max(now / then, 1e-3)
        for step, mean in means.items():  # a step that is new at this load
            anchor.seconds.setdefault(step, mean / ratio)
        return ratio

    def _verdict(self, anchor: Anchor, means: dict[str, float]) -> Verdict:
        if self.suspect is not None:
            (slow, many), self.suspect = self.suspect, None
            fewer = self.calls < _FEWER * many  # the limit may be at its lowest
            helped = fewer and self.ratio <= slow * (1.0 + self.calls / many) / 2
            if not helped:
                self._move(anchor, means)
                self.idle = 1.0
                return "slower"
        if self.calls <= _NEAR * anchor.calls:
            self._renew(anchor)
        if self.ratio > _TOO_SLOW * self.idle:
            self.suspect = (self.ratio, self.calls)
            return "slow"
        if self.calls < _FAR * anchor.calls:
            return "open"
        steepness = math.log(self.ratio) / math.log(self.calls / anchor.calls)
        if steepness >= _STEEP:
            return "knee"
        self._move(anchor, means)
        return "grows"

    def _renew(self, anchor: Anchor) -> None:
        """Follow what is measured near the anchor, or below it."""
        weight = 1.0 if self.calls < anchor.calls / _NEAR else _WEIGHT
        anchor.calls += weight * (self.calls - anchor.calls)
        scale = 1.0 + weight * (self.ratio - 1.0)
        for step in anchor.seconds:
            anchor.seconds[step] *= scale
        self.ratio /= scale
        # Idle latency is kept in seconds, so as a part of the anchor's it changes against it.
        self.idle = min(1.0, self.idle / scale)

    def _move(self, anchor: Anchor, means: dict[str, float]) -> None:
        anchor.calls = self.calls
        anchor.seconds.update(means)
        self.idle = min(1.0, self.idle / self.ratio)
        self.ratio = 1.0
