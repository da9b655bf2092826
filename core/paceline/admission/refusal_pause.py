"""What a refusal does to everybody: one pause for each burst of refusals, then a slow return."""

import math

#: First and longest pause where the provider names none, in ms; it doubles from burst to burst.
FIRST, LONGEST = 1_000, 60_000
#: Least first pause where it names one; it doubles as long as nothing but refusals comes.
LEAST = 20
#: Milliseconds in which calls return after a pause, where only their number is limited.
RETURN = 5_000
#: Who returns need not come for one call alone: so much of the return may come at once.
TOGETHER = 100

#: Longest pause that anybody may ask for, in ms: eleven days.
_MOST = 1_000_000_000


def pause_of(retry_after: float) -> int:
    """Milliseconds of a pause that a provider asks for."""
    return round(min(_MOST, max(0.0, retry_after * 1000)))


class Hold:
    """The present pause, if there is one."""

    __slots__ = ("_began", "_due", "_strikes", "until")

    def __init__(self) -> None:
        self.until = 0
        self._began = -1
        self._strikes = 0
        self._due = 0.0

    def refuse(self, now: int, granted: int, number: int, retry_after: int | None) -> None:
        """A call was refused.

        Calls that were admitted before a pause began, and are refused in it, belong to the
        burst that it is for: they prolong it by what they were told, but do not begin a
        longer one.

        Args:
            now: when it was.
            granted: when the call was admitted.
            number: the lease's number, which is the lot that spreads pauses.
            retry_after: milliseconds that the provider asked for, if it did.
        """
        if granted > self._began:
            self._began = now
            self._strikes = min(self._strikes + 1, 30)
            doubled = 2 ** (self._strikes - 1)
            if retry_after is None:
                pause = min(LONGEST, FIRST * doubled)
                retry_after = pause * 3 // 4 + number % 10_007 * 7919 % (pause // 2)
            else:
                retry_after = max(retry_after, min(LONGEST, LEAST * doubled))
        if retry_after is not None:
            self.until = max(self.until, now + retry_after)
            self._due = float(self.until)

    def relent(self, granted: int) -> None:
        """A call that was admitted after the pause ended well: the next one is a first one."""
        if granted >= self.until:
            self._strikes = 0

    def wait(self, now: int, concurrency: int | None) -> int:
        """Milliseconds until a call may start, or 0."""
        if now < self.until:
            return self.until - now
        if concurrency is not None and now < self.until + RETURN and self._began >= 0:
            return max(0, math.ceil(self._due - TOGETHER - now))
        return 0

    def grant(self, now: int, concurrency: int | None) -> None:
        """A call starts."""
        if concurrency is not None and now < self.until + RETURN and self._began >= 0:
            self._due = max(self._due, float(now)) + RETURN / concurrency
