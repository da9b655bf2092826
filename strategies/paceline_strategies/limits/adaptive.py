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
            self._cut(latency.enough)
            times = f"{latency.calls:.0f} calls took {latency.ratio:.1f} times as long"
            self._because(period, f"cut to {self.limit}: {times}")
        elif verdict == "slower":
            self._because(period, "kept: the provider is slower with fewer calls too")
        elif self.load.used(period):
            self.load.grow(period, reach=latency.reach(cut=self.load.ceiling is not None))
            if self.limit > before:
                self._grew(period)

    def _refused(self, period: Period) -> None:
        calls = "1 call" if period.refused == 1 else f"{period.refused} calls"
        refused = f"{calls} refused with {period.held} in flight"
        if period.held < _FAR_LESS * self.flown and not self.rate.cleared(period.now):
            self.rate.cut(period.now)
            self.cuts += 1
            self.latency.forget()
            self._because(period, f"held to {self.rate.limit} requests a minute: {refused}")
            return
        if self.rate.cleared(period.now):
            self.rate.size = None
        self._cut(period.held)
        self._because(period, f"cut to {self.limit}: {refused}")

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
