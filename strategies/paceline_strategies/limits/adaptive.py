"""The limit of ``adaptive``: combines refusals, latency and rate."""

from dataclasses import dataclass, field

from paceline_strategies.limits.aimd import Aimd
from paceline_strategies.limits.gradient import Gradient
from paceline_strategies.limits.period import Period
from paceline_strategies.limits.rate import Rate

#: Reasons that are kept.
_REASONS = 4
#: If a call is refused with less than this part of the earlier peak, load is not the cause.
_FAR_LESS = 0.8
#: Part of the peak that remains after a minute.
_MEMORY = 0.95


@dataclass(slots=True)
class Adaptive:
    """Finds how many calls a provider can take at once and, if it limits a rate, per minute.

    Refusals cut the concurrency once per burst (`Aimd`): refusals of calls admitted before the
    cut do not count again. Rising latency stops growth, or cuts (`Gradient`). The limit grows
    only while it is in use. If a call is refused with far fewer calls in flight than before,
    concurrency is not the cause; if no fuller minute was accepted either, the rate is (`Rate`).
    Vector's adaptive request concurrency works alike (its RFC 1858: additive increase while
    answers are as quick as before, multiplicative decrease on refusals and rising latency, one
    decision per round trip). The rate and the memory of earlier limits are added here.

    Attributes:
        load: limits the calls in flight.
        latency: judges whether more calls increase throughput.
        rate: limits the calls a minute.
        cuts: number of cuts. A call is counted for the number at its admission.
        peak: most calls in flight on average in a period, slowly forgotten.
        reasons: time and reason of the latest changes, the last one last.
    """

    load: Aimd
    latency: Gradient = field(default_factory=Gradient)
    rate: Rate = field(default_factory=Rate)
    cuts: int = 0
    peak: float = 0.0
    reasons: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])

    @property
    def limit(self) -> int:
        """Calls that may be in flight."""
        return self.load.limit

    def observe(self, period: Period) -> None:
        """Decide, from the observations of all workers."""
        self.rate.observe(period)
        self.peak *= _MEMORY ** (period.seconds / 60.0)
        if period.refused:
            self._refused(period)
            return
        self.peak = max(self.peak, period.mean_in_flight)
        before = self.limit
        lowest = self.limit <= self.load.least
        verdict = self.latency.judge(period, self.load.size, lowest=lowest)
        latency = self.latency
        if verdict in {"knee", "slow"}:
            self._cut(latency.enough)
            times = f"{latency.calls:.0f} calls took {latency.ratio:.1f} times as long"
            self._add_reason(period, f"cut to {self.limit}: {times}")
        elif verdict == "slower":
            self._add_reason(period, "kept: the provider is slower with fewer calls too")
        elif self.load.used(period):
            self.load.grow(period, reach=latency.reach(cut=self.load.ceiling is not None))
            if self.limit > before:
                self._grew(period)

    def _refused(self, period: Period) -> None:
        calls = "1 call" if period.refused == 1 else f"{period.refused} calls"
        refused = f"{calls} refused with {period.in_flight} in flight"
        if period.in_flight < _FAR_LESS * self.peak and not self.rate.cleared(period.now):
            self.rate.cut(period.now)
            self.cuts += 1
            self.latency.forget()
            self._add_reason(period, f"held to {self.rate.limit} requests a minute: {refused}")
            return
        if self.rate.cleared(period.now):
            self.rate.size = None
        self._cut(period.in_flight)
        self._add_reason(period, f"cut to {self.limit}: {refused}")

    def _cut(self, accepted: float) -> None:
        self.load.cut(accepted)
        self.latency.forget()
        self.cuts += 1

    def _grew(self, period: Period) -> None:
        if self.reasons and self.reasons[-1][1].startswith("grew"):
            del self.reasons[-1]
        self._add_reason(period, f"grew to {self.limit}")

    def _add_reason(self, period: Period, why: str) -> None:
        self.reasons = [*self.reasons, (period.now, why)][-_REASONS:]
