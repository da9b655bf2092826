"""The ledger that all workers share: leases in Redis, on the server's clock.

This module is a process's side of it; the arithmetic is in ``lua/ledger``.

A server that lost its data knows no leases, but processes still use theirs. Each limit has an
*epoch* key. If it is missing, nothing is granted for one lease time; each lease renewed within
that time is registered again. A new process cannot know whether a limit was never used or was
lost. So it checks whether other processes subscribe to the limit's channel, as every process
does that may hold a lease of it. Only if there is no subscriber, leases are granted at once.
One case remains: a server that loses its data *and* all its connections. For ``settle_in``
seconds after the server's start, new processes wait until the others have reconnected.
"""

import asyncio
import json
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from paceline import (
    Finding,
    Grant,
    Lease,
    LeaseRelease,
    LeaseRequest,
    Ledger,
    PartUnavailable,
    Quota,
)
from paceline.admission.grant_inbox import GrantInbox
from paceline.admission.lease_names import parse_lease_name
from paceline.admission.refusal_pause import retry_after_ms
from paceline.contracts.admission.ledger import Reason, SharedCounters, Use

from paceline_adapters.redis.connection import Link, Script, Word
from paceline_adapters.redis.listener import Listener
from paceline_adapters.redis.server import described

LEDGER = Script.read(
    "ledger/state",
    "ledger/rate_window",
    "ledger/refusal_pause",
    "ledger/fair_queue",
    "ledger/leases",
    "ledger/operations",
)
COUNTERS = Script.read("shared_counters")

#: Seconds after which counters that are not in use are deleted: their state is outdated by then.
_COUNTERS_KEPT = 3600

_PARTS = (
    "epoch",
    "leases",
    "queue",
    "flows",
    "idle",
    "counts",
    "alive",
    "pending",
    "requests",
    "tokens",
)
_BATCH = 1000


class RedisLedger(Ledger):
    """Leases of named limits over all processes.

    Args:
        link: connections, at least two; the ledger closes them.
        lease_seconds: time after which a lease expires unless it is renewed.
        settle_in: seconds after the server's start within which a process that finds no epoch
            waits for the other processes to reconnect.
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
            on_message=self._notified,
            on_reconnect=self._wake_all,
            silence=min(link.timeout, lease_seconds / 3),
        )
        self._joined: set[str] = set()
        self._clock_offset: dict[str, float] = {}  # limit → its clock minus the loop's, at most
        self._inboxes: defaultdict[tuple[str, str], GrantInbox] = defaultdict(GrantInbox)

    async def sync(
        self,
        limit: str,
        *,
        quota: Quota,
        holder: str,
        requests: Sequence[LeaseRequest] = (),
        releases: Sequence[LeaseRelease] = (),
    ) -> Grant:
        """Release leases and request new ones, in one step and one round trip."""
        wait = await self._join(limit)
        if wait:
            return Grant((), wait, "unknown", unknown_holder=True)
        inbox = self._inboxes[limit, holder]
        confirmed = inbox.unconfirmed()
        message = [
            limit,
            self._channel,
            [
                *map(_or_minus_1, (quota.concurrency, quota.requests, quota.tokens)),
                quota.follow,
                quota.version,
            ],
            [
                [one.flow, one.tenant, one.weight, " ".join(map(str, one.costs)), one.points]
                for one in requests
            ],
            list(map(_encode, releases)),
            confirmed,
        ]
        words = json.dumps(message, separators=(",", ":"))
        since = asyncio.get_running_loop().time()
        answer = await self._run("sync", limit, holder, words)
        ends, reason, out, used_requests, used_tokens, request_quota, token_quota = answer[:7]
        unknown_holder, last_number, now = answer[7:10]
        self._clock_offset[limit] = int(now) / 1000 - since
        names = map(parse_lease_name, cast("list[str]", answer[10:]))
        leases = [name.lease() for name in names if name is not None]
        return Grant(
            leases=inbox.merge_reply(confirmed, leases, int(last_number)),
            retry_in=None if ends < 0 else ends / 1000,
            reason=cast("Reason", reason),
            use=Use(
                out=out,
                requests=used_requests,
                tokens=used_tokens,
                request_quota=None if request_quota < 0 else request_quota,
                token_quota=None if token_quota < 0 else token_quota,
            ),
            unknown_holder=bool(unknown_holder),
        )

    async def renew(self, limit: str, *, holder: str, leases: Sequence[str]) -> Sequence[str]:
        """Extend leases, and return those that had expired."""
        expired: list[str] = []
        for start in range(0, len(leases), _BATCH):
            batch = leases[start : start + _BATCH]
            expired += cast("list[str]", await self._run("renew", limit, holder, *batch))
        return expired

    async def wait_for_grants(
        self, limit: str, *, holder: str, seconds: float
    ) -> tuple[Lease, ...]:
        """Wait for leases granted by other holders' syncs, or for ``seconds``."""
        return await self._inboxes[limit, holder].wait(seconds)

    async def held(self, limit: str) -> Mapping[str, int]:
        """The number of leases of each holder."""
        flat = cast("list[str]", await self._run("held", limit, ""))
        counts = zip(flat[::2], map(int, flat[1::2]), strict=True)
        return {holder: count for holder, count in counts if count > 0}

    async def add_counts(self, limit: str, counts: Mapping[str, float]) -> SharedCounters:
        """Add to the shared sums and return them, in one round trip."""
        words = [str(word) for pair in counts.items() for word in pair]
        answer = await self._run_on_counters(limit, "add_counts", *words)
        version, state, since, now, *sums = answer
        return SharedCounters(
            version=int(version),
            state=state,
            totals=dict(zip(sums[::2], map(float, sums[1::2]), strict=True)),
            seconds=max(0, int(now) - int(since)) / 1000,
            now=int(now) / 1000,
        )

    async def commit_decision(self, limit: str, *, version: int, state: str) -> bool:
        """Write a decision, unless another holder's came first."""
        return bool(int(await self._run_on_counters(limit, "commit_decision", version, state)))

    async def _run_on_counters(self, limit: str, operation: str, *words: Word) -> Any:
        key = f"{self._key(limit)}:counters"
        return await self._link.run(COUNTERS, [key], [operation, _COUNTERS_KEPT, *words])

    @property
    def lease_seconds(self) -> float:
        """Time after which a lease expires unless it is renewed."""
        return self._lease_seconds

    async def check(self) -> str | Finding:
        """Describe the server, after a limit of a name of its own was used and notified."""
        probe = f"doctor:{secrets.token_hex(4)}"
        keys = [f"{self._key(probe)}:{part}" for part in (*_PARTS, "counters")]
        try:
            await self._run("join", probe, "", f"{self._key(probe)}:alive", 0)
            await self.sync(probe, quota=Quota(concurrency=1), holder=probe)
            await self._link.execute("PUBLISH", self._channel, "")
            await self.add_counts(probe, {"checks": 1})
        finally:
            with suppress(PartUnavailable):
                await self._link.execute("DEL", *keys)
        return described(self._link.place, await self._link.server(), "ledger redis", self._prefix)

    async def close(self) -> None:
        """Disconnect. Leases stay until they are released or expire."""
        await self._listener.close()
        await self._link.close()

    async def _join(self, limit: str) -> float:
        """Join a limit before the first sync. Returns the seconds to wait before that, or 0."""
        if limit in self._joined:
            return 0.0
        alive = f"{self._key(limit)}:alive"
        wait = await self._run("join", limit, "", alive, round(self._settle_in * 1000))
        if int(wait):
            return int(wait) / 1000
        # This process may hold leases from now on. The subscription shows that to new processes,
        # even if the server loses its data.
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
        # The braces put all keys of a limit into one slot of a cluster.
        return f"{self._prefix}:{{limit:{limit}}}"

    def _notified(self, message: str) -> None:
        try:
            holder, limit, texts = json.loads(message)
            holder, limit = str(holder), str(limit)
            names = [name for name in map(parse_lease_name, list(texts)) if name is not None]
        except (ValueError, TypeError):
            return  # not from a ledger
        # A process that was frozen reads late. Leases that may expire before they are confirmed
        # are ignored: the reply to the next sync contains all that are still valid.
        now = asyncio.get_running_loop().time() + self._clock_offset.get(limit, 0.0)
        fresh = [one for one in names if now - one.granted / 1000 < self.confirm_seconds / 2]
        self._inboxes[limit, holder].notify(one.lease() for one in fresh)

    def _wake_all(self) -> None:
        # Notifications sent while the subscription was interrupted are lost.
        for inbox in self._inboxes.values():
            inbox.notify(())


def _encode(release: LeaseRelease) -> list[Any]:
    after, info = release.retry_after, release.rate_limit_info
    numbers: list[int] = []
    if info is not None:
        numbers = [
            _or_minus_1(number)
            for number in (info.requests, info.requests_left, info.tokens, info.tokens_left)
        ]
    return [
        release.lease,
        _or_minus_1(release.tokens),
        release.refused,
        -1 if after is None else retry_after_ms(after),
        numbers,
    ]


def _or_minus_1(number: int | None) -> int:
    """The script's way to write that a number is missing."""
    return -1 if number is None else number
