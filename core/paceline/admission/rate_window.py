"""Use of a quota per minute: never more than the quota in any minute, and calls spread over it.

Two rules limit a rate. The *window* counts what was charged in the last minute and never exceeds
the quota: it is the promise. The *pace* spreads calls over the minute, so that a burst does not
repeat every sixty seconds. It is the generic cell rate algorithm (ITU-T I.371, 1996): each unit
advances a theoretical arrival time. The pace is a little faster than the quota, so in the long
run the window decides.
"""

import math

MINUTE = 60_000
#: Amounts are counted in slots of this length, so that memory and time do not grow with calls.
SLOT = 500
#: A call may reach the provider up to this much later than a call admitted after it.
MARGIN = 500
#: Speed of the pace relative to the quota.
PACE_FACTOR = 1.05
#: Calls that may start at once, in ms of pace.
BURST = 1_500
#: Shortest wait for the pace, so that a holder does not sync for every single call.
MIN_WAIT = 250


class RateWindow:
    """Use of one quota: of requests, or of tokens."""

    __slots__ = ("_first", "_next", "_slots", "total")

    def __init__(self) -> None:
        self.total = 0
        self._slots: dict[int, list[int]] = {}  # slot → its amount, and the window's peak in it
        self._first = 0
        self._next = 0.0  # theoretical arrival time of the next unit

    def expire(self, now: int) -> None:
        """Remove amounts that are older than the window."""
        oldest = (now - MINUTE - MARGIN) // SLOT
        if oldest - self._first > len(self._slots):
            for slot in [slot for slot in self._slots if slot < oldest]:
                self.total -= self._slots.pop(slot)[0]
        else:
            for slot in range(self._first, oldest):
                self.total -= self._slots.pop(slot, (0,))[0]
        self._first = max(self._first, oldest)

    def wait(self, now: int, amount: int, quota: int) -> tuple[int, bool]:
        """Milliseconds until an amount may be charged, and whether only the pace requires them.

        An amount above the quota counts as the whole quota; otherwise it could never start.
        """
        if self.total + min(amount, quota) > quota:
            first = min((slot for slot, (used, _) in self._slots.items() if used), default=None)
            if first is not None:
                return (first + 1) * SLOT + MINUTE + MARGIN - now, False
        if self._next > now + BURST:
            return max(MIN_WAIT, math.ceil(self._next - BURST - now)), True
        return 0, False

    def charge(self, now: int, amount: int, quota: int) -> None:
        """Count an amount for a call of ours that starts now."""
        self.count(now, amount)
        self._next = max(self._next, float(now)) + amount * (MINUTE / (PACE_FACTOR * quota))

    def count(self, now: int, amount: int) -> None:
        """Count an amount that other clients used, without slowing our pace."""
        slot = self._slots.setdefault(now // SLOT, [0, 0])
        slot[0] += amount
        self.total += amount
        slot[1] = max(slot[1], self.total)

    def correct(self, when: int, change: int, quota: int) -> None:
        """Change an amount that was charged at ``when``, because its real size is known now."""
        self._next += change * (MINUTE / (PACE_FACTOR * quota))
        slot = self._slots.get(when // SLOT)
        if slot is not None:
            change = max(change, -slot[0])
            slot[0] += change
            self.total += change

    def pause(self, until: int) -> None:
        """Restart the pace at ``until``, without a burst."""
        self._next = max(self._next, float(until + BURST))

    def used_by_others(self, since: int, counted: int, quota: int) -> int:
        """How much other clients use of the quota, as far as the provider's numbers show it.

        Args:
            since: admission time of the call that the provider's numbers came with.
            counted: amount that the provider counted at some time since then.
            quota: the quota.
        """
        oldest = since // SLOT
        if counted <= self.total or oldest < self._first:
            return 0  # our own use at that time is no longer known
        peak = max((peak for slot, (_, peak) in self._slots.items() if slot >= oldest), default=0)
        others = counted - max(peak, self.total)
        # A difference below 2 % of the quota may be an error of our estimates.
        return others if others * 50 > quota else 0
