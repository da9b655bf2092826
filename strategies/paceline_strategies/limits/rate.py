"""Find how many calls a minute a provider takes that does not say."""

from dataclasses import dataclass, field

from paceline_strategies.limits.period import Period

MINUTE = 60.0
#: Of what the provider took in the minute before it refused, the part that is kept.
_KEPT = 0.98
#: Growth of the limit per probe: at first, and at most.
_FIRST_STEP, _LONGEST_STEP = 0.02, 0.25
#: Calls from a cut to the next probe: one of them may be refused.
_CALLS_PER_PROBE = 150
#: A minute that is so much fuller than this one, and was taken, clears the rate of suspicion.
_FULLER = 1.2
#: What remains of the fullest minute's memory after a minute.
_MEMORY = 0.95


@dataclass(slots=True)
class Rate:
    """Calls a minute, learned from refusals.

    A quota over a sliding minute refuses exactly what passes it, so what was taken in the
    minute before a refusal *is* the quota; the limit stays a little below it and probes
    upwards, faster while nothing objects (additive increase and multiplicative decrease of a
    rate, Chiu and Jain 1989, with the step that grows as in CUBIC, RFC 9438).

    Attributes:
        size: the limit, in calls a minute; ``None`` while no rate is known.
        fullest: most calls taken in a minute, slowly forgotten.
        recent: (end, seconds, calls taken) of the periods of the last minute.
    """

    size: float | None = None
    fullest: float = 0.0
    step: float = _FIRST_STEP
    probe_at: float = 0.0
    recent: list[tuple[float, float, int]] = field(default_factory=list[tuple[float, float, int]])

    @property
    def limit(self) -> int | None:
        """Calls that may begin in a minute."""
        return None if self.size is None else max(1, int(self.size))

    def minute(self, now: float) -> float:
        """Calls taken in the last minute."""
        return sum(
            taken * min(1.0, max(0.0, end - now + MINUTE) / seconds) if seconds > 0 else taken
            for end, seconds, taken in self.recent
        )

    def note(self, period: Period) -> None:
        """Count what was taken; raise the limit when it is time to try."""
        self.recent = [one for one in self.recent if one[0] > period.now - MINUTE]
        self.recent.append((period.now, period.seconds, period.taken))
        taken = self.minute(period.now)
        self.fullest *= _MEMORY ** (period.seconds / MINUTE)
        if period.refused:
            return
        self.fullest = max(self.fullest, taken)
        if self.size is None or period.now < self.probe_at or taken < 0.9 * self.size:
            return
        self.size += max(1.0, self.step * self.size)
        self.step = min(_LONGEST_STEP, 2 * self.step)
        self.probe_at = period.now + MINUTE

    def cleared(self, now: float) -> bool:
        """Whether fuller minutes were taken, so that a refusal now is not the rate's."""
        taken = self.minute(now)
        return _FULLER * taken < self.fullest or (self.size is not None and taken < self.size / 2)

    def cut(self, now: float) -> None:
        """The provider refused because of the rate."""
        self.size = max(1.0, _KEPT * self.minute(now))
        self.step = _FIRST_STEP
        self.probe_at = now + MINUTE * max(1.0, _CALLS_PER_PROBE / self.size)
