"""A ledger in this process whose leases end by the loop's clock: for dying workers."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from paceline.ledger import Demand, Grant, Ledger, share


@dataclass(slots=True)
class _Wish:
    wanted: int
    until: float


@dataclass(slots=True)
class _Book:
    """One limit: leases with their holder and end, wishes in the order of waiting."""

    leases: dict[str, tuple[str, float]] = field(default_factory=dict[str, tuple[str, float]])
    wishes: dict[str, _Wish] = field(default_factory=dict[str, _Wish])
    changes: int = 0
    seen: dict[str, int] = field(default_factory=dict[str, int])
    bell: asyncio.Event = field(default_factory=asyncio.Event)

    def ring(self) -> None:
        self.changes += 1
        self.bell.set()
        self.bell = asyncio.Event()

    def expire(self, now: float) -> None:
        lapsed = [lease for lease, (_, end) in self.leases.items() if end <= now]
        for lease in lapsed:
            del self.leases[lease]
        gone = [holder for holder, wish in self.wishes.items() if wish.until <= now]
        for holder in gone:
            del self.wishes[holder]
        if lapsed or gone:
            self.ring()

    def ends(self) -> float:
        """When something ends next."""
        ends = [end for _, end in self.leases.values()]
        return min([*ends, *(wish.until for wish in self.wishes.values())], default=float("inf"))

    def held(self) -> dict[str, int]:
        count: dict[str, int] = {}
        for holder, _ in self.leases.values():
            count[holder] = count.get(holder, 0) + 1
        return count

    def share(self, capacity: int, holder: str, wanted: int) -> int:
        held = self.held()
        mine = Demand(held.get(holder, 0), wanted)
        waiting = list(self.wishes)
        place = waiting.index(holder) if holder in waiting else len(waiting)
        demands = [Demand(held.get(one, 0), self.wishes[one].wanted) for one in waiting]
        content = [Demand(n, 0) for one, n in held.items() if one not in {holder, *waiting}]
        return share(
            capacity,
            mine=mine,
            older=demands[:place],
            younger=[*demands[place + 1 :], *content],
        )


class LeaseLedger(Ledger):
    """What `MemoryLedger` grants, with leases that end when their holder is silent.

    Args:
        lease_seconds: how long a lease lives without renewal, by the event loop's clock.
    """

    shared = True

    def __init__(self, *, lease_seconds: float = 30.0) -> None:
        self._lease_seconds = lease_seconds
        self._books: defaultdict[str, _Book] = defaultdict(_Book)
        self._numbers = itertools.count(1)

    async def exchange(
        self, limit: str, *, capacity: int, holder: str, wanted: int, settle: Sequence[str]
    ) -> Grant:
        """Give back and ask, in one step."""
        book = self._book(limit)
        now = asyncio.get_running_loop().time()
        back = [lease for lease in settle if book.leases.pop(lease, None)]
        granted = book.share(capacity, holder, wanted)
        leases = tuple(f"{next(self._numbers)}:{holder}" for _ in range(granted))
        until = now + self._lease_seconds
        book.leases.update(dict.fromkeys(leases, (holder, until)))
        before = book.wishes.get(holder)
        if granted or not wanted:
            book.wishes.pop(holder, None)
        if wanted > granted:
            book.wishes[holder] = _Wish(wanted - granted, until)
        if back or (before is not None and not wanted):
            book.ring()
        book.seen[holder] = book.changes
        waits = book.wishes and len(book.leases) >= capacity
        await asyncio.sleep(0)  # an answer takes a moment, in which anything may happen
        return Grant(leases, book.ends() - now if waits else None)

    async def renew(self, limit: str, *, holder: str, leases: Sequence[str]) -> Sequence[str]:
        """Prolong leases; returns those that are lost."""
        book = self._book(limit)
        until = asyncio.get_running_loop().time() + self._lease_seconds
        kept = {one for one in leases if book.leases.get(one, ("", 0.0))[0] == holder}
        book.leases.update(dict.fromkeys(kept, (holder, until)))
        return [one for one in leases if one not in kept]

    async def changed(self, limit: str, *, holder: str, seconds: float) -> None:
        """Return when anything changed since that holder asked, or after ``seconds``."""
        clock = asyncio.get_running_loop()
        until = clock.time() + seconds
        while (book := self._book(limit)).changes == book.seen.get(holder, 0):
            now = clock.time()
            if now >= until:
                return
            try:
                async with asyncio.timeout_at(min(until, book.ends())):
                    await book.bell.wait()
            except TimeoutError:
                continue

    async def held(self, limit: str) -> Mapping[str, int]:
        """How many leases each holder has now."""
        return self._book(limit).held()

    @property
    def lease_seconds(self) -> float:
        """How long a lease lives without renewal."""
        return self._lease_seconds

    def _book(self, limit: str) -> _Book:
        book = self._books[limit]
        book.expire(asyncio.get_running_loop().time())
        return book


class LedgerLine(Ledger):
    """One worker's line to a ledger, which is cut when the worker dies: it hears no more.

    Args:
        ledger: what the workers share.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.shared = ledger.shared
        self._cut = False

    def cut(self) -> None:
        """From now on every question goes unanswered, for ever."""
        self._cut = True

    async def exchange(
        self, limit: str, *, capacity: int, holder: str, wanted: int, settle: Sequence[str]
    ) -> Grant:
        """Ask the ledger, if the worker lives."""
        await self._alive()
        return await self._ledger.exchange(
            limit, capacity=capacity, holder=holder, wanted=wanted, settle=settle
        )

    async def renew(self, limit: str, *, holder: str, leases: Sequence[str]) -> Sequence[str]:
        """Ask the ledger, if the worker lives."""
        await self._alive()
        return await self._ledger.renew(limit, holder=holder, leases=leases)

    async def changed(self, limit: str, *, holder: str, seconds: float) -> None:
        """Ask the ledger, if the worker lives."""
        await self._alive()
        await self._ledger.changed(limit, holder=holder, seconds=seconds)

    async def held(self, limit: str) -> Mapping[str, int]:
        """Ask the ledger, if the worker lives."""
        await self._alive()
        return await self._ledger.held(limit)

    @property
    def lease_seconds(self) -> float:
        """How long a lease lives without renewal."""
        return self._ledger.lease_seconds

    async def _alive(self) -> None:
        if self._cut:
            await asyncio.get_running_loop().create_future()
