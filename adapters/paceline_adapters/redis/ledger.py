"""The ledger that all workers share: leases in Redis, on the server's clock.

What is here keeps a process's side of it; the arithmetic is in ``lua/ledger``.

A server that lost its data knows of no lease, while processes still live on theirs. Each
limit's *epoch* key tells: when it is gone, nothing is granted for one lease time, and
whoever renews a lease in that time has it registered again. A process that is new cannot
know whether a limit was never used or was lost, so it asks who else listens on the limit's
channel: everybody who ever could hold a lease of it does. Only where nobody listens does
the limit begin open. What remains is a server that loses its data *and* all its connections
at once: for ``settle_in`` seconds after its start, new processes wait for the old ones.
"""

import asyncio
import json
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, cast

from paceline import Grant, Lease, LeaseRelease, LeaseRequest, Ledger, Quota, RateLimitInfo
from paceline.admission.grant_inbox import Inbox
from paceline.admission.lease_names import read_name
from paceline.admission.refusal_pause import pause_of
from paceline.contracts.ledger import Board, Reason, Use

from paceline_adapters.redis.connection import Link, Script, Word
from paceline_adapters.redis.listener import Listener

LEDGER = Script.read(
    "ledger/state",
    "ledger/window",
    "ledger/hold",
    "ledger/line",
    "ledger/leases",
    "ledger/operations",
)
BOARD = Script.read("board")

#: Seconds that a board is kept which nobody uses: what was found is old by then.
_BOARD_KEPT = 3600

_PARTS = (
    "epoch",
    "leases",
    "line",
    "flows",
    "idle",
    "counts",
    "seen",
    "mail",
    "requests",
    "tokens",
)
_AT_ONCE = 1000


class RedisLedger(Ledger):
    """Leases of named limits over all processes.

    Args:
        link: connections, at least two; the ledger closes them.
        prefix: what every key begins with.
        lease_seconds: how long a lease lives without renewal.
        settle_in: seconds after the server's start in which a process that knows no epoch
            waits for those that do.
        script: the arithmetic.
    """

    shared = True

    def __init__(
        self,
        link: Link,
        *,
        prefix: str,
        lease_seconds: float,
        settle_in: float = 2.0,
        script: Script = LEDGER,
    ) -> None:
        self._link = link
        self._prefix = prefix
        self._lease_seconds = lease_seconds
        self._settle_in = settle_in
        self._script = script
        self._channel = f"{prefix}:ledger:{secrets.token_hex(8)}"
        self._listener = Listener(
            link,
            heard=self._heard,
            anew=self._ring_all,
            silence=min(link.timeout, lease_seconds / 3),
        )
        self._joined: set[str] = set()
        self._ahead: dict[str, float] = {}  # limit → its clock before the loop's, at most
        self._inboxes: defaultdict[tuple[str, str], Inbox] = defaultdict(Inbox)

    async def sync(
        self,
        limit: str,
        *,
        quota: Quota,
        holder: str,
        asks: Sequence[LeaseRequest] = (),
        settled: Sequence[LeaseRelease] = (),
    ) -> Grant:
        """Give back and ask, in one step and one round trip."""
        wait = await self._join(limit)
        if wait:
            return Grant((), wait, "unknown", forgotten=True)
        inbox = self._inboxes[limit, holder]
        heard = inbox.unconfirmed()
        question = [
            limit,
            self._channel,
            [*map(_or_none, (quota.concurrency, quota.requests, quota.tokens)), quota.follow],
            [[ask.flow, ask.tenant, ask.weight, " ".join(map(str, ask.costs))] for ask in asks],
            [_words_of(one) for one in settled],
            heard,
        ]
        words = json.dumps(question, separators=(",", ":"))
        asked = asyncio.get_running_loop().time()
        answer = await self._run("exchange", limit, holder, words)
        ends, reason, out, requests, tokens, request_quota, token_quota, forgotten = answer[:8]
        upto, now = answer[8:10]
        self._ahead[limit] = int(now) / 1000 - asked
        leases = _leases(cast("list[str]", answer[10:]))
        return Grant(
            leases=inbox.answered(heard, leases, int(upto)),
            expires_in=None if ends < 0 else ends / 1000,
            reason=cast("Reason", reason),
            use=Use(
                out=out,
                requests=requests,
                tokens=tokens,
                request_quota=None if request_quota < 0 else request_quota,
                token_quota=None if token_quota < 0 else token_quota,
            ),
            forgotten=bool(forgotten),
        )

    async def renew(self, limit: str, *, holder: str, leases: Sequence[str]) -> Sequence[str]:
        """Prolong leases; returns those that are lost."""
        lost: list[str] = []
        for start in range(0, len(leases), _AT_ONCE):
            some = leases[start : start + _AT_ONCE]
            lost += cast("list[str]", await self._run("renew", limit, holder, *some))
        return lost

    async def changed(self, limit: str, *, holder: str, seconds: float) -> tuple[Lease, ...]:
        """Return when that holder was granted something or may be, or after ``seconds``."""
        return await self._inboxes[limit, holder].wait(seconds)

    async def held(self, limit: str) -> Mapping[str, int]:
        """How many leases each holder has now."""
        flat = cast("list[str]", await self._run("held", limit, ""))
        counts = zip(flat[::2], map(int, flat[1::2]), strict=True)
        return {holder: count for holder, count in counts if count > 0}

    async def note(self, limit: str, counted: Mapping[str, float]) -> Board:
        """Add to everybody's sums, and read them, in one round trip."""
        words = [str(word) for pair in counted.items() for word in pair]
        serial, state, since, now, *sums = await self._on_board(limit, "note", *words)
        names = sums[::2]
        return Board(
            serial=int(serial),
            state=state,
            totals=dict(zip(names, map(float, sums[1::2]), strict=True)),
            seconds=max(0, int(now) - int(since)) / 1000,
            now=int(now) / 1000,
        )

    async def conclude(self, limit: str, *, serial: int, state: str) -> bool:
        """Draw a conclusion, unless somebody else was first."""
        return bool(int(await self._on_board(limit, "conclude", serial, state)))

    async def _on_board(self, limit: str, operation: str, *words: Word) -> Any:
        key = f"{self._key(limit)}:board"
        return await self._link.run(BOARD, [key], [operation, _BOARD_KEPT, *words])

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
        lease, confirm = round(self._lease_seconds * 1000), round(self.confirm_seconds * 1000)
        return await self._link.run(
            self._script,
            [f"{key}:{part}" for part in _PARTS],
            [operation, holder, lease, confirm, *words],
        )

    def _key(self, limit: str) -> str:
        return f"{{{self._prefix}:limit:{limit}}}"

    def _heard(self, message: str) -> None:
        try:
            holder, limit, names = json.loads(message)
            holder, limit = str(holder), str(limit)
            leases = [name for name in map(read_name, list(names)) if name is not None]
        except (ValueError, TypeError):
            return  # not ours
        # Who was frozen reads late: what may end before it is confirmed is left to the answer of
        # the next exchange, which tells of all that lives.
        now = asyncio.get_running_loop().time() + self._ahead.get(limit, 0.0)
        young = [one for one in leases if now - one.granted / 1000 < self.confirm_seconds / 2]
        self._inboxes[limit, holder].push(one.lease() for one in young)

    def _ring_all(self) -> None:
        # What was published while nobody listened is unknown.
        for inbox in self._inboxes.values():
            inbox.push(())


def _leases(names: Sequence[str]) -> list[Lease]:
    read = map(read_name, names)
    return [name.lease() for name in read if name is not None]


def _words_of(settled: LeaseRelease) -> list[Any]:
    after = settled.retry_after
    pause = -1 if after is None else pause_of(after)
    said = settled.rate_limit_info
    return [
        settled.lease,
        _or_none(settled.tokens),
        settled.refused,
        pause,
        [] if said is None else _said(said),
    ]


def _said(said: RateLimitInfo) -> list[int]:
    numbers = (said.requests, said.requests_left, said.tokens, said.tokens_left)
    return list(map(_or_none, numbers))


def _or_none(number: int | None) -> int:
    """How the script writes that there is no number."""
    return -1 if number is None else number
