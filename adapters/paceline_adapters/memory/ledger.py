"""The ledger of one process: the same arithmetic as the shared one, and no clock.

Nobody can die and leave a lease behind without taking the ledger along, so leases do not
end by time. That lets limits run in virtual time.
"""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence

from paceline.ledger import Demand, Grant, Ledger, share


class MemoryLedger(Ledger):
    """Leases of named limits within this process.

    Args:
        lease_seconds: what holders are told to renew within.
    """

    shared = False

    def __init__(self, *, lease_seconds: float = 30.0) -> None:
        self._lease_seconds = lease_seconds
        self._limits: defaultdict[str, _Limit] = defaultdict(_Limit)

    async def exchange(
        self, limit: str, *, capacity: int, holder: str, wanted: int, settle: Sequence[str]
    ) -> Grant:
        """Give back and ask, in one step."""
        book = self._limits[limit]
        book.settle(settle)
        leases = book.grant(capacity, holder, wanted)
        book.wake(capacity, asked=holder)
        return Grant(leases)

    async def renew(self, limit: str, *, holder: str, leases: Sequence[str]) -> Sequence[str]:
        """Tell which of these leases were settled already; the others go on."""
        held = self._limits[limit].leases
        return [lease for lease in leases if held.get(lease) != holder]

    async def changed(self, limit: str, *, holder: str, seconds: float) -> None:
        """Return when that holder may be granted something, or after ``seconds``."""
        bell = self._limits[limit].bells[holder]
        try:
            async with asyncio.timeout(seconds):
                await bell.wait()
        except TimeoutError:
            return

    async def held(self, limit: str) -> Mapping[str, int]:
        """How many leases each holder has now."""
        return {holder: n for holder, n in self._limits[limit].held.items() if n}

    @property
    def lease_seconds(self) -> float:
        """What holders are told to renew within."""
        return self._lease_seconds


class _Limit:
    """One limit's books."""

    def __init__(self) -> None:
        self.leases: dict[str, str] = {}
        self.held: defaultdict[str, int] = defaultdict(int)
        self.waiting: dict[str, int] = {}  # holder → how many it wants, oldest first
        self.bells: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._numbers = itertools.count(1)

    def settle(self, leases: Sequence[str]) -> None:
        for lease in leases:
            holder = self.leases.pop(lease, None)
            if holder is not None:
                self._hold(holder, -1)

    def grant(self, capacity: int, holder: str, wanted: int) -> tuple[str, ...]:
        self.bells[holder].clear()
        granted = self._share(capacity, holder, wanted)
        leases = tuple(f"{next(self._numbers)}:{holder}" for _ in range(granted))
        for lease in leases:
            self.leases[lease] = holder
        self._hold(holder, granted)
        if granted or not wanted:  # who was served waits anew, behind the others
            self.waiting.pop(holder, None)
        if wanted > granted:
            self.waiting[holder] = wanted - granted
        elif holder not in self.held:
            self.bells.pop(holder).set()
        return leases

    def wake(self, capacity: int, *, asked: str) -> None:
        """Ring for those who would be granted something if they asked now."""
        if len(self.leases) >= capacity:
            return
        for holder, wanted in self.waiting.items():
            if holder != asked and self._share(capacity, holder, wanted):
                self.bells[holder].set()

    def _share(self, capacity: int, holder: str, wanted: int) -> int:
        older: list[Demand] = []
        younger: list[Demand] = []
        side = older
        for other, demand in self.waiting.items():
            if other == holder:
                side = younger
            else:
                side.append(Demand(self.held.get(other, 0), demand))
        content = (o for o in self.held if o != holder and o not in self.waiting)
        younger.extend(Demand(self.held[other], 0) for other in content)
        mine = Demand(self.held.get(holder, 0), wanted)
        return share(capacity, mine=mine, older=older, younger=younger)

    def _hold(self, holder: str, more: int) -> None:
        self.held[holder] += more
        if not self.held[holder]:
            del self.held[holder]
