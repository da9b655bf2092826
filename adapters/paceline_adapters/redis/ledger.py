"""The ledger that all workers share: leases in Redis, on the server's clock.

What is here keeps a process's side of it; the arithmetic is in ``ledger.lua``.

A server that lost its data knows of no lease, while processes still live on theirs. Each
limit's *epoch* key tells: when it is gone, nothing is granted for one lease time, and
whoever renews a lease in that time has it registered again. A process that is new cannot
know whether a limit was never used or was lost, so it asks who else listens on the limit's
channel: everybody who ever could hold a lease of it does. Only where nobody listens does
the limit begin open. What remains is a server that loses its data *and* all its connections
at once: for ``settle_in`` seconds after its start, new processes wait for the old ones.
"""

import asyncio
import itertools
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Any, cast

from paceline.ledger import Grant, Ledger

from paceline_adapters.redis.connection import Link, Script, Word
from paceline_adapters.redis.listener import Listener

LEDGER = Script(files("paceline_adapters.redis").joinpath("ledger.lua").read_text("utf-8"))

_AT_ONCE = 1000


class RedisLedger(Ledger):
    """Leases of named limits over all processes.

    Args:
        link: connections, at least two; the ledger closes them.
        prefix: what every key begins with.
        lease_seconds: how long a lease lives without renewal.
        settle_in: seconds after the server's start in which a process that knows no epoch
            waits for those that do.
    """

    shared = True

    def __init__(
        self, link: Link, *, prefix: str, lease_seconds: float, settle_in: float = 2.0
    ) -> None:
        self._link = link
        self._prefix = prefix
        self._lease_seconds = lease_seconds
        self._settle_in = settle_in
        self._name = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._channel = f"{prefix}:ledger:{self._name}"
        self._listener = Listener(
            link,
            heard=self._heard,
            anew=self._ring_all,
            silence=min(link.timeout, lease_seconds / 3),
        )
        self._joined: set[str] = set()
        self._bells: defaultdict[tuple[str, str], asyncio.Event] = defaultdict(asyncio.Event)
        # Questions whose answer is not known, and leases that came with a late answer.
        self._unanswered: dict[tuple[str, str], str] = {}
        self._unwanted: dict[tuple[str, str], list[str]] = {}

    async def exchange(
        self, limit: str, *, capacity: int, holder: str, wanted: int, settle: Sequence[str]
    ) -> Grant:
        """Give back and ask, in one step and one round trip."""
        me = (limit, holder)
        self._bells[me].clear()
        wait = await self._join(limit)
        if wait:
            return Grant((), wait)
        back = [*settle, *self._unwanted.get(me, ())]
        nonce = self._unanswered.get(me) or f"{self._name}-{next(self._numbers)}"
        self._unanswered[me] = nonce
        words = (capacity, wanted, nonce, self._channel, limit, *back)
        answer = await self._run("exchange", limit, holder, *words)
        del self._unanswered[me]
        self._unwanted.pop(me, None)
        leases = tuple(cast("list[str]", answer[1:]))
        if leases[wanted:]:
            self._unwanted[me] = list(leases[wanted:])
        return Grant(leases[:wanted], None if answer[0] < 0 else answer[0] / 1000)

    async def renew(self, limit: str, *, holder: str, leases: Sequence[str]) -> Sequence[str]:
        """Prolong leases; returns those that are lost."""
        lost: list[str] = []
        for start in range(0, len(leases), _AT_ONCE):
            some = leases[start : start + _AT_ONCE]
            lost += cast("list[str]", await self._run("renew", limit, holder, *some))
        return lost

    async def changed(self, limit: str, *, holder: str, seconds: float) -> None:
        """Return when that holder may be granted something, or after ``seconds``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._bells[limit, holder].wait()

    async def held(self, limit: str) -> Mapping[str, int]:
        """How many leases each holder has now."""
        flat = cast("list[str]", await self._run("held", limit, ""))
        counts = zip(flat[::2], map(int, flat[1::2]), strict=True)
        return {holder: count for holder, count in counts if count > 0}

    @property
    def lease_seconds(self) -> float:
        """How long a lease lives without renewal."""
        return self._lease_seconds

    async def check(self) -> str:
        """Where it is, and which server answers there."""
        return await self._link.check()

    async def close(self) -> None:
        """Disconnect. Leases stay until they are settled or end."""
        await self._listener.close()
        await self._link.close()

    async def _join(self, limit: str) -> float:
        """Learn the limit's epoch before the first question; returns seconds to wait, or 0."""
        if limit in self._joined:
            return 0.0
        alive = f"{self._key(limit)}:alive"
        wait = await self._run("join", limit, "", alive, round(self._settle_in * 1000))
        if int(wait):
            return int(wait) / 1000
        # From here on we may hold a lease: whoever comes after the server's loss sees us.
        await self._listener.join(self._channel, alive)
        self._joined.add(limit)
        return 0.0

    async def _run(self, operation: str, limit: str, holder: str, *words: Word) -> Any:
        key = self._key(limit)
        parts = ("epoch", "leases", "held", "wanted", "waiting", "seen")
        lease = round(self._lease_seconds * 1000)
        return await self._link.run(
            LEDGER, [f"{key}:{part}" for part in parts], [operation, holder, lease, *words]
        )

    def _key(self, limit: str) -> str:
        return f"{{{self._prefix}:limit:{limit}}}"

    def _heard(self, message: str) -> None:
        holder, _, limit = message.partition("\n")
        self._bells[limit, holder].set()

    def _ring_all(self) -> None:
        # What was published while nobody listened is unknown.
        for bell in self._bells.values():
            bell.set()
