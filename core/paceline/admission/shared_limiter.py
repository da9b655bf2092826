"""Admission over all workers: first come, first served within a run, fair between runs."""

import asyncio
import contextlib
import logging
import math
import secrets
from collections.abc import Callable, Sequence
from itertools import islice

from paceline.admission.chance import uniform
from paceline.admission.waiting_flows import Cost, Waiter, WaitingFlows
from paceline.contracts.admission.ledger import Grant, Lease, LeaseRelease, Ledger, Quota
from paceline.contracts.admission.limit_figures import LimitFigures, LimitUnit
from paceline.contracts.admission.work import Done, Outcome, Permit, RateLimited, Work
from paceline.errors import PartRejected, PartUnavailable
from paceline.tasks import start_background

log = logging.getLogger("paceline.limits")

#: Releases that one sync contains at most.
_BATCH = 1000
#: Bounds of the pause after a ledger that did not answer, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
#: Seconds without an answer of the ledger after which waiters get the error.
PATIENCE = 300.0
#: Seconds to release everything on close; leases that remain expire.
_CLOSE_TIMEOUT = 5.0
#: Seconds that requests and tokens count.
_MINUTE = 60.0


class SharedLimiter:
    """One process's side of a limit that keeps its leases in a ledger.

    A single task, the pump, talks to the ledger. However many waiters there are, one sync runs
    at a time. It contains all releases and all new requests since the last one. The pump runs
    while there are held leases, waiters or pending releases.

    Args:
        quota: returns how much of it may be used; called before each sync.
        holder: name of this process in the ledger; must be unique.
    """

    def __init__(
        self, ledger: Ledger, *, name: str, quota: Callable[[], Quota], holder: str | None = None
    ) -> None:
        self._ledger = ledger
        self._name = name
        self._quota = quota
        self._holder = (holder or secrets.token_hex(8)).replace("|", "-")
        self._flows = WaitingFlows()
        self._held: dict[str, None] = {}  # in the order in which they were handed over
        self._valid_until: dict[str, float] = {}  # lease → the ledger keeps it at least until then
        self._releases: dict[str, LeaseRelease] = {}
        self._sent: frozenset[str] = frozenset()  # releases that the ledger may have received
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()
        self._quota_changed = False
        self._pump: asyncio.Task[None] | None = None
        self._failures = 0
        self._silent_since = 0.0  # since when waiters wait in vain
        self._closed = False
        #: The result of the last sync.
        self.last = Grant(())
        #: When its result arrived, by the loop's clock; 0 before the first sync.
        self.synced_at = 0.0
        #: Leases that expired while this process held them: it was frozen or disconnected.
        self.expired = 0
        #: Permits of this process that were released because the provider refused the call.
        self.refused = 0

    @property
    def held(self) -> int:
        """Number of permits that are out in this process."""
        return len(self._held)

    @property
    def waiting(self) -> int:
        """Number of waiters in this process."""
        return len(self._flows)

    @property
    def unreachable(self) -> bool:
        """Whether the ledger did not answer the last time."""
        return self._failures > 0

    @property
    def idle(self) -> bool:
        """Whether there are no held leases, no waiters and no pending releases."""
        return not (self._held or self._releases) and self._flows.finished

    def limits(
        self, key: str, at_once: LimitUnit, minute: LimitUnit = "tokens", *, reason: str = ""
    ) -> Sequence[LimitFigures]:
        """The limit in numbers, by the last answer of the ledger.

        Args:
            key: what it is counted for.
            at_once: what its concurrency counts.
            minute: what its quota of tokens counts.
            reason: why calls wait.
        """
        quota, use = self._quota(), self.last.use
        if self.waiting and self.unreachable:
            reason = "the ledger does not answer"
        now = asyncio.get_running_loop().time()
        # Without waiters and permits, this process does not ask the ledger any more.
        out = 0 if self.idle else use.out
        fresh = bool(self.synced_at) and now < self.synced_at + _MINUTE
        counts: list[tuple[LimitUnit, int, int | None]] = [
            (at_once, out, quota.concurrency),
            ("requests", use.requests if fresh else 0, use.request_quota or quota.requests),
            (minute, use.tokens if fresh else 0, use.token_quota or quota.tokens),
        ]
        return [
            LimitFigures(
                key=key,
                unit=unit,
                used=used,
                quota=most,
                waiting=self.waiting,
                refused=self.refused,
                shared=self._ledger.shared,
                reason=reason,
            )
            for unit, used, most in counts
            if most is not None
        ]

    async def admit(self, work: Work, cost: int | Cost = 0) -> Permit:
        """Wait for a permit, behind all earlier waiters of the same run.

        ``cost`` tokens are reserved. If it is a function, it is called again during the wait.

        Raises:
            PartUnavailable: the ledger did not answer for ``PATIENCE`` seconds.
            PartRejected: it rejects this process.
        """
        waiter: Waiter = asyncio.get_running_loop().create_future()
        flow = self._flows.of(work)
        flow.join(waiter, cost if callable(cost) else lambda: cost)
        self._reuse_leases()
        self._wake_pump()
        try:
            lease = await waiter
        except asyncio.CancelledError:
            flow.leave(waiter, costs_matter=self._quota().tokens is not None)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # It was served just before the cancellation.
                self._release(LeaseRelease(waiter.result().name, tokens=0))
            self._wake_pump()
            raise
        return Permit(lambda outcome: self._release(_release_of(lease, outcome)))

    def quota_changed(self) -> None:
        """Bring the ledger the quota that applies now, if anything waits or is held."""
        if not self.idle:
            self._quota_changed = True
            self._wake_pump()

    async def close(self) -> None:
        """Release all leases of this process, and cancel all waiters."""
        self._closed = True
        for flow in self._flows:
            for waiter in flow.waiters():
                waiter.cancel()
                flow.leave(waiter, costs_matter=False)
        for name in self._held:
            self._releases.setdefault(name, LeaseRelease(name))
        self._held.clear()
        self._wake_pump()
        if self._pump is not None:
            self._closing.set()
            pump = self._pump
            await asyncio.wait({pump}, timeout=_CLOSE_TIMEOUT)
            pump.cancel()
            await asyncio.wait({pump})

    # -- from waiters and permits to the pump --------------------------------------------

    def _release(self, release: LeaseRelease) -> None:
        if release.lease in self._held and not self._closed:
            del self._held[release.lease]
            self.refused += release.refused
            self._releases[release.lease] = release
            self._reuse_leases()
            self._wake_pump()

    def _wake_pump(self) -> None:
        self._flows.remove_finished()
        self._changed.set()
        if self._pump is None and not self.idle:
            self._pump = start_background(self._run())
            self._pump.add_done_callback(self._pump_ended)

    def _reuse_leases(self) -> None:
        """While the ledger is unreachable, pass released leases on to waiters.

        Never more than were held. Not if a rate is limited, because only the ledger knows
        whether the window has room.
        """
        use = self.last.use
        if not self.unreachable or use.request_quota is not None or use.token_quota is not None:
            return
        now = asyncio.get_running_loop().time()
        for name, release in list(self._releases.items()):
            waiting = [flow for flow in self._flows if flow]
            if not waiting:
                return
            # A release that was sent may have taken effect, and another process has the permit.
            if name in self._sent or release.refused or self._valid_until.get(name, 0.0) <= now:
                continue
            del self._releases[name]
            if not self._hand_over(Lease(name, waiting[0].name, 0)):
                self._releases[name] = release

    def _pump_ended(self, pump: "asyncio.Task[None]") -> None:
        self._pump = None
        if pump.cancelled():
            return
        error = pump.exception()
        if error is None:
            if not self._closed:
                self._wake_pump()  # for changes made while it was ending
            return
        # A bug in the ledger, not an outage. Waiters must not wait for ever for an ended pump.
        log.error("limit %s: the ledger raised an unexpected error", self._name, exc_info=error)
        self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        for waiter in self._flows.clear():
            if not waiter.done():
                waiter.set_exception(error)

    # -- the pump ------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        every = self._ledger.lease_seconds / 3
        renewed, sync_at = loop.time(), math.inf
        while not self.idle:
            self._changed.clear()
            try:
                if loop.time() >= renewed + every:
                    await self._renew()
                    renewed = loop.time()
                    self._resend_requests()  # the ledger forgets them after a lease time
                await asyncio.sleep(0)  # all waiters of this moment go into one sync
                # There may always be a reason to sync, but renewals must not be late.
                while loop.time() < renewed + every and (
                    self._must_sync() or loop.time() >= sync_at
                ):
                    grant = await self._sync()
                    sync_at = math.inf
                    if grant.retry_in is not None:
                        # With jitter, because many processes may wait for the same moment.
                        sync_at = loop.time() + grant.retry_in * uniform(1, 1.02)
                    await asyncio.sleep(0)
            except PartUnavailable as error:
                if self._closed:
                    return
                await self._pause(error)
                self._resend_requests()
                continue
            if self.idle:
                return
            until = min(renewed + every, sync_at)
            notified = await self._wait(until)
            if notified:
                for lease in notified:
                    self._take(lease)
                # Soon, because until then the leases outlive their worker only briefly; not at
                # once, because one sync then confirms many.
                confirm_at = loop.time() + self._ledger.confirm_seconds / 10
                sync_at = min(sync_at, confirm_at)
            elif notified is not None and loop.time() < until:
                self._resend_requests()

    def _must_sync(self) -> bool:
        return (
            bool(self._releases) or self._quota_changed or any(flow.urgent for flow in self._flows)
        )

    def _resend_requests(self) -> None:
        for flow in self._flows:
            flow.stale = True

    async def _sync(self) -> Grant:
        releases = list(islice(self._releases.values(), _BATCH))
        requests = [(flow, flow.request()) for flow in self._flows if flow.changed]
        loop = asyncio.get_running_loop()
        since = loop.time()
        self._sent |= {one.lease for one in releases}
        self._quota_changed = False
        grant = await self._ledger.sync(
            self._name,
            quota=self._quota(),
            holder=self._holder,
            requests=[request for _, request in requests],
            releases=releases,
        )
        self._failures = 0
        self._sent -= {one.lease for one in releases}
        self.last, self.synced_at = grant, loop.time()
        for one in releases:
            self._releases.pop(one.lease, None)
            self._valid_until.pop(one.lease, None)
        for flow, request in requests:
            flow.request_received(request)
        if grant.unknown_holder:
            requested = {flow.name for flow, _ in requests}
            for flow in self._flows:
                flow.stale = flow.name not in requested
        until = since + self._ledger.lease_seconds
        if loop.time() < until:
            for lease in grant.leases:
                self._take(lease)
                self._valid_until[lease.name] = until
        else:
            # This process was frozen. The new leases have expired, and others may have them.
            self._releases |= {one.name: LeaseRelease(one.name, tokens=0) for one in grant.leases}
            self._resend_requests()
        self._flows.remove_finished()
        return grant

    def _take(self, lease: Lease) -> None:
        if not self._hand_over(lease):
            # Its waiter was cancelled.
            self._releases[lease.name] = LeaseRelease(lease.name, tokens=0)

    def _hand_over(self, lease: Lease) -> bool:
        waiter = self._flows.pop_for(lease, self.last.use.token_quota)
        if waiter is None:
            return False
        self._held[lease.name] = None
        waiter.set_result(lease)
        return True

    async def _renew(self) -> None:
        if not self._held:
            return
        since, names = asyncio.get_running_loop().time(), list(self._held)
        expired = await self._ledger.renew(self._name, holder=self._holder, leases=names)
        self._failures = 0
        self._valid_until.update(dict.fromkeys(names, since + self._ledger.lease_seconds))
        if expired:
            self.expired += len(expired)
            log.warning(
                "limit %s: %d leases expired before their calls ended", self._name, len(expired)
            )

    async def _wait(self, until: float) -> Sequence[Lease] | None:
        """Wait for a local change or for leases of the ledger; ``None``: not for leases."""
        seconds = max(0.0, until - asyncio.get_running_loop().time())
        changed = asyncio.ensure_future(self._changed.wait())
        granted = asyncio.ensure_future(
            self._ledger.wait_for_grants(self._name, holder=self._holder, seconds=seconds)
        )
        try:
            await asyncio.wait({changed, granted}, return_when=asyncio.FIRST_COMPLETED)
            # Its result must be read, because the ledger returns each lease once.
            return granted.result() if granted.done() else None
        finally:
            changed.cancel()
            granted.cancel()

    async def _pause(self, error: PartUnavailable) -> None:
        now = asyncio.get_running_loop().time()
        if not self._failures:
            self._silent_since = now
            log.warning(
                "limit %s: admitting no new calls until the ledger answers, for up to %g s: %s",
                self._name,
                PATIENCE,
                error,
            )
        if isinstance(error, PartRejected) or now >= self._silent_since + PATIENCE:
            self._give_up(error)
            self._silent_since = now  # later waiters wait as long
        bound = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._failures, 20))
        self._failures += 1
        self._reuse_leases()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(uniform(0, bound)):
                await self._closing.wait()


def _release_of(lease: Lease, outcome: Outcome) -> LeaseRelease:
    if isinstance(outcome, Done):
        return LeaseRelease(
            lease.name, tokens=outcome.tokens or None, rate_limit_info=outcome.rate_limit_info
        )
    if isinstance(outcome, RateLimited):
        return LeaseRelease(
            lease.name,
            tokens=0,
            refused=True,
            retry_after=outcome.retry_after,
            rate_limit_info=outcome.rate_limit_info,
        )
    return LeaseRelease(lease.name, tokens=None if outcome.arrived else 0)
