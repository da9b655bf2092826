"""Finds the calls per minute that a provider accepts, if it does not publish them."""

from dataclasses import dataclass, field

from paceline_strategies.limits.period import Period

MINUTE = 60.0
#: Part of the calls accepted in the minute before a refusal that remains after it.
_KEPT = 0.98
#: Growth of the limit per probe: at first, and at most.
_FIRST_STEP, _LONGEST_STEP = 0.02, 0.25
#: Calls from a cut to the next probe: at most one of them is refused because of the probe.
_CALLS_PER_PROBE = 150
#: If an accepted minute had this many times the calls, the rate is not the cause of a refusal.
_FULLER = 1.2
#: Part of the peak that remains after a minute.
_MEMORY = 0.95


@dataclass(slots=True)
class Rate:
    """Calls a minute, learned from refusals.

    A quota over a sliding minute refuses exactly the calls above it. So the number of calls
    accepted in the minute before a refusal *is* the quota. The limit stays a little below it and
    probes upwards, faster while no call is refused (additive increase and multiplicative decrease
    of a rate, Chiu and Jain 1989, with the growing step of CUBIC, RFC 9438).

    Attributes:
        size: the limit, in calls a minute; ``None`` while no rate is known.
        peak: most calls accepted in a minute, slowly forgotten.
        recent: (end, seconds, calls accepted) of the periods of the last minute.
    """

    size: float | None = None
    peak: float = 0.0
    step: float = _FIRST_STEP
    probe_at: float = 0.0
    recent: list[tuple[float, float, int]] = field(default_factory=list[tuple[float, float, int]])

    @property
    def limit(self) -> int | None:
        """Calls that may start in a minute."""
        return None if self.size is None else max(1, int(self.size))

    def minute(self, now: float) -> float:
        """Calls accepted in the last minute."""
        return sum(
            accepted * min(1.0, max(0.0, end - now + MINUTE) / seconds) if seconds > 0 else accepted
            for end, seconds, accepted in self.recent
        )

    def observe(self, period: Period) -> None:
        """Count accepted calls, and raise the limit when the next probe is due."""
        self.recent = [one for one in self.recent if one[0] > period.now - MINUTE]
        self.recent.append((period.now, period.seconds, period.accepted))
        accepted = self.minute(period.now)
        self.peak *= _MEMORY ** (period.seconds / MINUTE)
        if period.refused:
            return
        self.peak = max(self.peak, accepted)
        if self.size is None or period.now < self.probe_at or accepted < 0.9 * self.size:
            return
        self.size += max(1.0, self.step * self.size)
        self.step = min(_LONGEST_STEP, 2 * self.step)
        self.probe_at = period.now + MINUTE

    def cleared(self, now: float) -> bool:
        """Whether fuller minutes were accepted, so that the rate is not the cause of a refusal."""
        accepted = self.minute(now)
        return _FULLER * accepted < self.peak or (
            self.size is not None and accepted < self.size / 2
        )

    def cut(self, now: float) -> None:
        """Lower the limit, because the provider refused a call due to the rate."""
        self.size = max(1.0, _KEPT * self.minute(now))
        self.step = _FIRST_STEP
        self.probe_at = now + MINUTE * max(1.0, _CALLS_PER_PROBE / self.size)
