"""How much of a quota per minute is used: never more in any minute, and no convoy each minute.

Two things hold a rate. The *window* counts what was charged in the last minute and is never
passed: it is the promise. The *pace* (the generic cell rate algorithm of ITU-T I.371, 1996:
a theoretical time of arrival that each unit moves on) spreads calls over the minute, so that a
burst does not come back every sixty seconds. It runs a little faster than the quota, which
leaves the last word to the window.
"""

import math

MINUTE = 60_000
#: Amounts of one slot leave the window together: memory and time do not grow with the calls.
SLOT = 500
#: A call may reach the provider so much later than another one that was admitted before it.
MARGIN = 500
#: How much faster than the quota the pace is, and how much may come at once, in ms of pace.
AHEAD = 1.05
BURST = 1_500
#: Nobody comes back for less than this to do what the pace then allows.
BREATH = 250


class Meter:
    """Use of one quota: of requests, or of tokens."""

    __slots__ = ("_due", "_first", "_slots", "total")

    def __init__(self) -> None:
        self.total = 0
        self._slots: dict[int, list[int]] = {}  # slot → what it holds, most that was in the window
        self._first = 0
        self._due = 0.0  # the theoretical time of arrival

    def expire(self, now: int) -> None:
        """Let leave what is older than the window."""
        oldest = (now - MINUTE - MARGIN) // SLOT
        if oldest - self._first > len(self._slots):
            for slot in [slot for slot in self._slots if slot < oldest]:
                self.total -= self._slots.pop(slot)[0]
        else:
            for slot in range(self._first, oldest):
                self.total -= self._slots.pop(slot, (0,))[0]
        self._first = max(self._first, oldest)

    def wait(self, now: int, amount: int, quota: int) -> tuple[int, bool]:
        """Milliseconds until an amount may be charged, or 0; and whether only the pace says so.

        An amount above the quota counts as all of it, so that it need not wait for ever.
        """
        if self.total + min(amount, quota) > quota:
            first = min((slot for slot, (held, _) in self._slots.items() if held), default=None)
            if first is not None:
                return (first + 1) * SLOT + MINUTE + MARGIN - now, False
        if self._due > now + BURST:
            return max(BREATH, math.ceil(self._due - BURST - now)), True
        return 0, False

    def charge(self, now: int, amount: int, quota: int) -> None:
        """Count an amount of ours for now."""
        self.count(now, amount)
        self._due = max(self._due, float(now)) + amount * (MINUTE / (AHEAD * quota))

    def count(self, now: int, amount: int) -> None:
        """Count an amount for now that is none of ours, so that it does not slow our pace."""
        slot = self._slots.setdefault(now // SLOT, [0, 0])
        slot[0] += amount
        self.total += amount
        slot[1] = max(slot[1], self.total)

    def correct(self, when: int, change: int, quota: int) -> None:
        """An amount charged at ``when`` was another one in truth, by ``change``."""
        self._due += change * (MINUTE / (AHEAD * quota))
        slot = self._slots.get(when // SLOT)
        if slot is not None:
            change = max(change, -slot[0])
            slot[0] += change
            self.total += change

    def hold(self, until: int) -> None:
        """Nothing starts until then; after that the pace begins anew, without a burst."""
        self._due = max(self._due, float(until + BURST))

    def foreign(self, since: int, counted: int, quota: int) -> int:
        """What others use of the quota, as far as it shows.

        Args:
            since: when the call was admitted with whose answer the provider told.
            counted: what the provider counted then, or at any time since.
            quota: the whole.
        """
        oldest = since // SLOT
        if counted <= self.total or oldest < self._first:
            return 0  # what we used so long ago is not known any more
        most = max((peak for slot, (_, peak) in self._slots.items() if slot >= oldest), default=0)
        beyond = counted - max(most, self.total)
        # Less than a fiftieth is what estimates are off by.
        return beyond if beyond * 50 > quota else 0
