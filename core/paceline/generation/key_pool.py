"""The keys of a resource: each has a quota of its own, and a use gets the freest one."""

import asyncio
from collections.abc import Callable, Iterator, Sequence

from pydantic import SecretStr

from paceline.admission import LiveControls, SharedLimiter
from paceline.contracts.admission.ledger import Ledger, Quota
from paceline.contracts.admission.limit_figures import LimitFigures
from paceline.contracts.admission.work import Failed, Permit, Work
from paceline.settings.model import ResourceSettings

#: Seconds after which a use that waits for a key looks for a freer one.
RECONSIDER = 2.0
#: Seconds for which a key counts as paused if a refusal names no time.
_PAUSE = 1.0
_MINUTE = 60.0

#: The ledger counts requests in its token window, because a use may be several requests.
_FIELDS = {"concurrency": "concurrency", "requests_per_minute": "tokens"}
_REASONS = {
    "concurrency": "all permits are in use",
    "requests": "the requests of this minute are used up",
    "tokens": "the requests of this minute are used up",
    "pace": "spreading requests over the minute",
    "refused": "pausing because the service refused a request",
    "unknown": "the ledger lost its data and waits until earlier leases are renewed or expired",
}


class PooledKey:
    """One key in this process.

    The ledger counts requests in its token window, because a use may be several requests.

    Args:
        limit: name of the key's limit in the ledger.
        secret: the key; ``None`` if the resource has none.

    Attributes:
        waiting_units: requests of the uses in this process that wait for this key of a pool.
        limiter: its limiter; ``None`` before the first use.
    """

    def __init__(
        self,
        limit: str,
        secret: SecretStr | None,
        settings: ResourceSettings,
        ledger: Callable[[], Ledger],
        *,
        holder: str,
        controls: LiveControls,
    ) -> None:
        self.limit = limit
        self.secret = secret
        self.waiting_units = 0
        self._settings = Quota(
            concurrency=settings.concurrency, tokens=settings.requests_per_minute
        )
        self._controls = controls
        self._ledger = ledger
        self._holder = holder
        self._paused_until = 0.0
        self._unseen = 0.0, 0  # time of a sync, and units granted since then
        self.limiter: SharedLimiter | None = None

    async def admit(self, work: Work, units: int) -> Permit:
        """Wait until the quota has room for this number of requests."""
        if self.limiter is None:
            self.limiter = SharedLimiter(
                self._ledger(), name=self.limit, quota=lambda: self.quota, holder=self._holder
            )
        limiter, asked_at = self.limiter, self.limiter.synced_at
        permit = await limiter.admit(work, units)
        if limiter.synced_at == asked_at:
            # Granted by a notification, which brings no new numbers.
            self._unseen = asked_at, self._granted_since_sync() + units
        return permit

    def ask(self, work: Work, units: int) -> "asyncio.Task[Permit]":
        """Ask for a permit in a task. Its units count as waiting until the task ends."""

        def ended(_: object) -> None:
            self.waiting_units -= units

        self.waiting_units += units  # at once, so that the next use sees it
        asking = asyncio.get_running_loop().create_task(self.admit(work, units))
        asking.add_done_callback(ended)
        return asking

    @property
    def quota(self) -> Quota:
        """The quota that applies now."""
        resource = self.limit.partition("#")[0]
        return self._controls.quota(resource, self._settings, fields=_FIELDS)

    def refused(self, pause: float | None) -> None:
        """Note that the service refused a use of this key."""
        now = asyncio.get_running_loop().time()
        self._paused_until = max(self._paused_until, now + (_PAUSE if pause is None else pause))

    @property
    def paused(self) -> bool:
        """Whether the key waits for the end of a refusal, as far as this process knows."""
        now, limiter = asyncio.get_running_loop().time(), self.limiter
        if now < self._paused_until:
            return True
        if limiter is None or limiter.last.reason != "refused":
            return False
        return now < limiter.synced_at + (limiter.last.retry_in or 0.0)

    @property
    def room(self) -> float:
        """The share of the quota that is left, by the newest numbers of the ledger.

        Negative if more uses wait than the quota has room for.
        """
        out, used = 0, 0.0
        if self.limiter is not None:
            out = self.limiter.last.use.out
            # What was used leaves the window within a minute.
            age = asyncio.get_running_loop().time() - self.limiter.synced_at
            used = self.limiter.last.use.tokens * max(0.0, 1.0 - age / _MINUTE)
        here = self._granted_since_sync() + self.waiting_units
        now = self.quota
        quotas = ((now.tokens, used + here), (now.concurrency, out + here))
        return min(1.0 - taken / quota for quota, taken in quotas if quota is not None)

    def _granted_since_sync(self) -> int:
        synced_at, units = self._unseen
        return units if self.limiter is not None and self.limiter.synced_at == synced_at else 0


class KeyPool:
    """All keys of a resource.

    Args:
        keys: name of each key's limit in the ledger, and its secret; at least one.
        holder: name of this process in the ledger.
        controls: limits that an operator changed.
    """

    def __init__(
        self,
        settings: ResourceSettings,
        keys: Sequence[tuple[str, SecretStr | None]],
        ledger: Callable[[], Ledger],
        *,
        holder: str,
        controls: LiveControls,
    ) -> None:
        self._keys = [
            PooledKey(limit, secret, settings, ledger, holder=holder, controls=controls)
            for limit, secret in keys
        ]

    @property
    def quota(self) -> Quota:
        """The quota of each key now; its tokens are requests."""
        return self._keys[0].quota

    async def admit(self, work: Work, units: int) -> tuple[PooledKey, Permit]:
        """Wait for the key that is free first, as far as this process knows."""
        if len(self._keys) == 1:
            [key] = self._keys
            return key, await key.admit(work, units)
        while True:
            key = self._freest()
            asking = key.ask(work, units)
            try:
                await asyncio.wait({asking}, timeout=RECONSIDER)
                while not asking.done() and not self._should_move(key):
                    await asyncio.wait({asking}, timeout=RECONSIDER)
                asking.cancel()  # does nothing if it is done
                await asyncio.wait({asking})
            except asyncio.CancelledError:
                asking.add_done_callback(_release)
                asking.cancel()
                raise
            if not asking.cancelled():
                return key, asking.result()

    def explain(self) -> Iterator[str]:
        """The use of each key, and why uses wait."""
        limiters = [key.limiter for key in self._keys if key.limiter is not None]
        if not limiters:
            return
        yield f"{sum(limiter.held for limiter in limiters)} held here"
        yield f"{sum(limiter.waiting for limiter in limiters)} waiting"
        for key in self._keys:
            if key.limiter is not None:
                parts = list(_state(key.limiter))
                name = key.limit.partition("#")[2]
                if parts:
                    yield f"{name}: {' and '.join(parts)}" if name else ", ".join(parts)

    def limits_changed(self) -> None:
        """Apply changed limits to uses that wait."""
        for key in self._keys:
            if key.limiter is not None:
                key.limiter.quota_changed()

    def limits(self) -> Sequence[LimitFigures]:
        """The quota of each key that was used, in numbers. The ledger counts requests as tokens."""
        return [
            one
            for key in self._keys
            if key.limiter is not None
            for one in key.limiter.limits(
                key.limit,
                "uses",
                "requests",
                reason=_REASONS.get(key.limiter.last.reason, "") if key.limiter.waiting else "",
            )
        ]

    async def close(self) -> None:
        """Release all leases."""
        for key in self._keys:
            if key.limiter is not None:
                await key.limiter.close()

    def _freest(self) -> PooledKey:
        return max(self._keys, key=lambda key: (not key.paused, key.room))

    def _should_move(self, key: PooledKey) -> bool:
        """Whether a use that waits for this key should wait for another one."""
        best = self._freest()
        if best is key or best.paused:
            return False
        return key.paused or (best.room > 0 and not best.waiting_units)


def _release(asking: "asyncio.Task[Permit]") -> None:
    """Release a permit that arrived just as its waiter was cancelled."""
    if not asking.cancelled() and asking.exception() is None:
        asking.result().release(Failed())


def _state(limiter: SharedLimiter) -> Iterator[str]:
    use = limiter.last.use
    if use.token_quota is not None:
        yield f"{use.tokens} of {use.token_quota} requests used"
    if limiter.unreachable:
        yield "the ledger does not answer"
    elif limiter.waiting and limiter.last.reason:
        yield _REASONS[limiter.last.reason]
