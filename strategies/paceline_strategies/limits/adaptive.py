"""The limit of ``adaptive``: refusals, latency and rate taken together."""

from dataclasses import dataclass, field

from paceline_strategies.limits.aimd import Aimd
from paceline_strategies.limits.gradient import Gradient
from paceline_strategies.limits.period import Period
from paceline_strategies.limits.rate import Rate

#: Reasons that are kept.
_REASONS = 4
#: Refused although so much less was in flight than was taken before: it is not the load.
_FAR_LESS = 0.8
#: Part of the calls that remains at least when they only took longer.
_DEEP = 0.6
#: What remains of the memory of the most in flight after a minute.
_MEMORY = 0.95


@dataclass(slots=True)
class Adaptive:
    """Finds how many calls a provider takes at once and, where that is what it counts, a minute.

    Refusals cut the concurrency once per burst (`Aimd`): what was admitted before the cut does
    not count again. Latency holds growth, or cuts (`Gradient`). It grows only while it is in
    use. A refusal with far less in flight than was taken before cannot be the concurrency's:
    if no fuller minute was taken either, it is the rate's (`Rate`).
    This is what Vector's adaptive request concurrency does (its RFC 1858: additive increase
    while answers are as quick as before, multiplicative decrease on refusals and rising
    latency, one decision per round trip), with the rate and the memory of heights added.

    Attributes:
        load: the concurrency.
        latency: whether more calls bring more.
        rate: calls a minute.
        cuts: how often it was cut; a call is of the load that it was admitted under.
        reasons: when and why it changed, the latest last.
    """

    load: Aimd
    latency: Gradient = field(default_factory=Gradient)
    rate: Rate = field(default_factory=Rate)
    cuts: int = 0
    flown: float = 0.0
    reasons: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])

    @property
    def limit(self) -> int:
        """Calls that may be in flight."""
        return self.load.limit

    def observe(self, period: Period) -> None:
        """Decide, from what all workers saw."""
        self.rate.note(period)
        self.flown *= _MEMORY ** (period.seconds / 60.0)
        if period.refused:
            self._refused(period)
            return
        self.flown = max(self.flown, period.busy)
        before = self.limit
        verdict = self.latency.judge(period, self.load.size)
        latency = self.latency
        if verdict in {"knee", "slow"}:
            # Where it is only suspected, the cut is deep enough to see whether it helps.
            brought = max(_DEEP, 1.0 / latency.ratio) if verdict == "knee" else _DEEP
            times = latency.ratio if verdict == "knee" else latency.ratio / latency.idle
            self._cut(brought * latency.calls)
            fewer = f"{latency.fewer:.0f}" if verdict == "knee" else "few"
            why = f"{latency.calls:.0f} calls took {times:.1f} times as long as {fewer}"
            self._because(period, f"{why}, cut to {self.limit}")
        elif verdict == "slower":
            self._because(period, "the provider became slower with fewer calls too")
        elif self.load.used(period) and not latency.unjudged(self.load.size):
            self.load.grow(period)
            if self.limit > before:
                self._grew(period)

    def _refused(self, period: Period) -> None:
        calls = "a call was" if period.refused == 1 else f"{period.refused} calls were"
        if period.held < _FAR_LESS * self.flown and not self.rate.cleared(period.now):
            self.rate.cut(period.now)
            self.cuts += 1
            self.latency.forget()
            self._because(period, f"{calls} refused, held to {self.rate.limit} a minute")
            return
        if self.rate.cleared(period.now):
            self.rate.size = None
        self._cut(period.held)
        self._because(period, f"{calls} refused with {period.held} in flight, cut to {self.limit}")

    def _cut(self, taken: float) -> None:
        self.load.cut(taken)
        self.latency.forget()
        self.cuts += 1

    def _grew(self, period: Period) -> None:
        if self.reasons and self.reasons[-1][1].startswith("grew"):
            del self.reasons[-1]
        self._because(period, f"grew to {self.limit}")

    def _because(self, period: Period, why: str) -> None:
        self.reasons = [*self.reasons, (period.now, why)][-_REASONS:]
