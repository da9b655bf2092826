"""The effect of refusals: one pause of all calls per burst of refusals, then a slow restart."""

import math

#: First and longest pause if the provider names none, in ms. It doubles with each burst.
FIRST_PAUSE, LONGEST_PAUSE = 1_000, 60_000
#: Shortest first pause if the provider names one, in ms. It doubles while every call is refused.
SHORTEST_PAUSE = 20
#: Duration of the restart after a pause, in ms. It applies if only the concurrency is limited.
RESTART = 5_000
#: Calls that may start together in a restart, in ms of it: saves a sync for each single call.
RESTART_BURST = 100

#: Longest pause that a provider may ask for, in ms: eleven days.
_MAX_RETRY_AFTER = 1_000_000_000


def retry_after_ms(retry_after: float) -> int:
    """The pause that a provider asks for, in milliseconds."""
    return round(min(_MAX_RETRY_AFTER, max(0.0, retry_after * 1000)))


class RefusalPause:
    """The current pause of a limit, if any."""

    __slots__ = ("_began", "_bursts", "_next_start", "until")

    def __init__(self) -> None:
        self.until = 0
        self._began = -1
        self._bursts = 0
        self._next_start = 0.0

    def call_refused(self, now: int, granted: int, number: int, retry_after: int | None) -> None:
        """Start or extend the pause, because a call was refused.

        Refusals of calls that were admitted before the pause began belong to the same burst.
        They extend the pause to the time that the provider named, but do not double it.

        Args:
            now: time of the refusal.
            granted: time when the call was admitted.
            number: number of the lease; it randomises the length of pauses.
            retry_after: milliseconds that the provider asked to wait, if any.
        """
        if granted > self._began:
            self._began = now
            self._bursts = min(self._bursts + 1, 30)
            doubled = 2 ** (self._bursts - 1)
            if retry_after is None:
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * doubled)
                retry_after = pause * 3 // 4 + number % 10_007 * 7919 % (pause // 2)
            else:
                retry_after = max(retry_after, min(LONGEST_PAUSE, SHORTEST_PAUSE * doubled))
        if retry_after is not None:
            self.until = max(self.until, now + retry_after)
            self._next_start = float(self.until)

    def call_succeeded(self, granted: int) -> None:
        """Reset the doubling, if the call was admitted after the last pause."""
        if granted >= self.until:
            self._bursts = 0

    def wait(self, now: int, concurrency: int | None) -> int:
        """Milliseconds until a call may start, or 0."""
        if now < self.until:
            return self.until - now
        if concurrency is not None and self._restarting(now):
            return max(0, math.ceil(self._next_start - RESTART_BURST - now))
        return 0

    def call_started(self, now: int, concurrency: int | None) -> None:
        """Count a call that starts during a restart."""
        if concurrency is not None and self._restarting(now):
            self._next_start = max(self._next_start, float(now)) + RESTART / concurrency

    def _restarting(self, now: int) -> bool:
        return now < self.until + RESTART and self._began >= 0
