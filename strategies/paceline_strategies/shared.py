"""Admission over all workers: first come, first served within a run, fair between the runs."""

import asyncio
import contextlib
import logging
import math
import random
import secrets
from collections.abc import Callable, Sequence
from itertools import islice

from paceline import (
    Done,
    Grant,
    Lease,
    LeaseRelease,
    Ledger,
    Outcome,
    PartUnavailable,
    Permit,
    Quota,
    RateLimited,
    Work,
)
from paceline.tasks import start_background

from paceline_strategies.limits import Sample
from paceline_strategies.waiters import Cost, Waiter, Waiters

log = logging.getLogger("paceline.limits")

#: Settlements that one exchange carries at most.
_AT_ONCE = 1000
#: Bounds of the pause after a ledger that did not answer, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
#: Seconds to settle everything when closing; what remains ends with its lease.
_LAST_WORDS = 5.0


class SharedLimiter:
    """One process's side of a limit whose leases are in a ledger.

    A single task, the pump, talks to the ledger: however many wait here, there is one
    exchange at a time, which carries all that was given back and all that is wanted since
    the one before. It runs while anything is held, wanted or to be settled.

    Args:
        ledger: where the leases are.
        name: the limit's name there.
        quota: what may be used; asked anew for each exchange.
        holder: this process's name in the ledger; must be its own.
        observe: told of each permit that comes back.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        name: str,
        quota: Callable[[], Quota],
        holder: str | None = None,
        observe: Callable[[Sample], None] | None = None,
    ) -> None:
        self._ledger = ledger
        self._name = name
        self._quota = quota
        self._holder = (holder or secrets.token_hex(8)).replace("|", "-")
        self._observe = observe
        self._waiters = Waiters()
        self._held: dict[str, float] = {}  # lease → when its permit was given
        self._until: dict[str, float] = {}  # lease → until when it surely lives
        self._settled: dict[str, LeaseRelease] = {}
        self._sent: frozenset[str] = frozenset()  # settled, and the ledger may know
        self._news = asyncio.Event()
        self._closing = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._failures = 0
        self._closed = False
        #: What the last exchange brought: why the first in line waits, and what is used.
        self.last = Grant(())
        #: Leases that ended although this process held them: it was frozen or cut off.
        self.ended = 0

    @property
    def held(self) -> int:
        """Permits that are out in this process."""
        return len(self._held)

    @property
    def waiting(self) -> int:
        """How many wait in this process."""
        return len(self._waiters)

    @property
    def away(self) -> bool:
        """Whether the ledger did not answer the last time."""
        return self._failures > 0

    @property
    def idle(self) -> bool:
        """Whether nothing is held, wanted or to be settled."""
        return not (self._held or self._settled) and self._waiters.over

    async def admit(self, work: Work, cost: int | Cost = 0) -> Permit:
        """Wait for a permit, behind those of the same run who came before.

        Args:
            work: what wants to start.
            cost: tokens to reserve for it; asked anew while it waits, where it can change.
        """
        loop = asyncio.get_running_loop()
        waiter: Waiter = loop.create_future()
        flow = self._waiters.of(work)
        flow.join(waiter, cost if callable(cost) else lambda: cost)
        self._reuse()
        self._tell()
        try:
            lease = await waiter
        except asyncio.CancelledError:
            flow.leave(waiter, exact=self._quota().tokens is not None)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # It was our turn in the same moment.
                self._give_back(LeaseRelease(waiter.result().name, tokens=0))
            self._tell()
            raise

        def release(outcome: Outcome) -> None:
            now = loop.time()
            in_flight, since = len(self._held), self._held.get(lease.name, now)
            self._give_back(_settled(lease, outcome))
            if self._observe is not None:
                self._observe(
                    Sample(now=now, seconds=now - since, in_flight=in_flight, outcome=outcome)
                )

        return Permit(release)

    async def close(self) -> None:
        """Give back all that is held here; who waits is cancelled."""
        self._closed = True
        for flow in self._waiters:
            for waiter in flow.everybody():
                waiter.cancel()
                flow.leave(waiter, exact=False)
        for name in self._held:
            self._settled.setdefault(name, LeaseRelease(name))
        self._held.clear()
        self._tell()
        if self._pump is not None:
            self._closing.set()
            pump = self._pump
            await asyncio.wait({pump}, timeout=_LAST_WORDS)
            pump.cancel()
            await asyncio.wait({pump})

    # -- from waiters and permits to the pump --------------------------------------------

    def _give_back(self, settled: LeaseRelease) -> None:
        if self._held.pop(settled.lease, None) is not None and not self._closed:
            self._settled[settled.lease] = settled
            self._reuse()
            self._tell()

    def _tell(self) -> None:
        self._waiters.tidy()
        self._news.set()
        if self._pump is None and not self.idle:
            self._pump = start_background(self._run())
            self._pump.add_done_callback(self._stopped)

    def _reuse(self) -> None:
        """While the ledger is away, give its permits on: never more than were held.

        Not where a rate is limited: only the ledger knows whether the window has room.
        """
        use = self.last.use
        if not self.away or use.request_quota is not None or use.token_quota is not None:
            return
        now = asyncio.get_running_loop().time()
        for name, settled in list(self._settled.items()):
            waiting = [flow for flow in self._waiters if flow]
            if not waiting:
                return
            # What was sent may be somebody else's by now.
            if name in self._sent or settled.refused or self._until.get(name, 0.0) <= now:
                continue
            del self._settled[name]
            if not self._hand(Lease(name, waiting[0].name, 0)):
                self._settled[name] = settled

    def _stopped(self, pump: "asyncio.Task[None]") -> None:
        self._pump = None
        if pump.cancelled():
            return
        error = pump.exception()
        if error is None:
            if not self._closed:
                self._tell()  # for what came while it was ending
            return
        # A ledger's fault that is no outage: nobody waits for ever for a pump that is gone.
        log.error("limit %s: its ledger failed", self._name, exc_info=error)
        for waiter in self._waiters.clear():
            if not waiter.done():
                waiter.set_exception(error)

    # -- the pump ------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        every = self._ledger.lease_seconds / 3
        renewed, ask_at = loop.time(), math.inf
        while not self.idle:
            self._news.clear()
            try:
                if loop.time() >= renewed + every:
                    await self._renew()
                    renewed = loop.time()
                    self._all_anew()  # what the ledger knows of us lapses like a lease
                await asyncio.sleep(0)  # all who come in this moment go into one exchange
                # There may always be something to tell: renewing does not wait for the end of it.
                while loop.time() < renewed + every and (
                    self._should_ask() or loop.time() >= ask_at
                ):
                    grant = await self._exchange()
                    ask_at = math.inf
                    if grant.expires_in is not None:
                        # Many may wait for the same moment: they need not come at once.
                        wait = grant.expires_in * random.uniform(1, 1.02)  # noqa: S311
                        ask_at = loop.time() + wait
                    await asyncio.sleep(0)
            except PartUnavailable as error:
                if self._closed:
                    return
                await self._pause(error)
                self._all_anew()
                continue
            if self.idle:
                return
            until = min(renewed + every, ask_at)
            heard = await self._woken(until)
            if heard:
                for lease in heard:
                    self._take(lease)
                confirm = loop.time() + self._ledger.confirm_seconds / 5
                ask_at = min(ask_at, confirm)
            elif heard is not None and loop.time() < until:
                self._all_anew()

    def _should_ask(self) -> bool:
        """Whether something changed that the ledger should know at once."""
        return bool(self._settled) or any(flow.news for flow in self._waiters)

    def _all_anew(self) -> None:
        for flow in self._waiters:
            flow.stale = True

    async def _exchange(self) -> Grant:
        settled = list(islice(self._settled.values(), _AT_ONCE))
        told = [(flow, flow.ask()) for flow in self._waiters if flow.grown]
        loop = asyncio.get_running_loop()
        since = loop.time()
        self._sent |= {one.lease for one in settled}
        grant = await self._ledger.sync(
            self._name,
            quota=self._quota(),
            holder=self._holder,
            asks=[ask for _, ask in told],
            settled=settled,
        )
        self._failures = 0
        self._sent -= {one.lease for one in settled}
        self.last = grant
        for one in settled:
            self._settled.pop(one.lease, None)
            self._until.pop(one.lease, None)
        for flow, ask in told:
            flow.told(ask)
        if grant.forgotten:
            asked = {flow.name for flow, _ in told}
            for flow in self._waiters:
                flow.stale = flow.name not in asked
        until = since + self._ledger.lease_seconds
        if loop.time() < until:
            for lease in grant.leases:
                self._take(lease)
                self._until[lease.name] = until
        else:
            # We were frozen: they ended before we heard of them, and may be somebody else's.
            self._settled |= {one.name: LeaseRelease(one.name, tokens=0) for one in grant.leases}
            self._all_anew()
        self._waiters.tidy()
        return grant

    def _take(self, lease: Lease) -> None:
        if not self._hand(lease):
            # Who wanted it was cancelled meanwhile.
            self._settled[lease.name] = LeaseRelease(lease.name, tokens=0)

    def _hand(self, lease: Lease) -> bool:
        waiter = self._waiters.next_for(lease, self.last.use.token_quota)
        if waiter is None:
            return False
        self._held[lease.name] = asyncio.get_running_loop().time()
        waiter.set_result(lease)
        return True

    async def _renew(self) -> None:
        if not self._held:
            return
        since, names = asyncio.get_running_loop().time(), list(self._held)
        ended = await self._ledger.renew(self._name, holder=self._holder, leases=names)
        self._failures = 0
        self._until.update(dict.fromkeys(names, since + self._ledger.lease_seconds))
        if ended:
            self.ended += len(ended)
            log.warning("limit %s: %d leases ended before their calls", self._name, len(ended))

    async def _woken(self, until: float) -> Sequence[Lease] | None:
        """Wait for news from here or from the ledger; returns the ledger's, if it had some."""
        seconds = max(0.0, until - asyncio.get_running_loop().time())
        news = asyncio.ensure_future(self._news.wait())
        changed = asyncio.ensure_future(
            self._ledger.changed(self._name, holder=self._holder, seconds=seconds)
        )
        try:
            await asyncio.wait({news, changed}, return_when=asyncio.FIRST_COMPLETED)
            # Once it is done it must be read: the ledger tells of a lease once.
            return changed.result() if changed.done() else None
        finally:
            news.cancel()
            changed.cancel()

    async def _pause(self, error: PartUnavailable) -> None:
        if not self._failures:
            log.warning(
                "limit %s: nothing new is admitted until its ledger answers: %s",
                self._name,
                error,
            )
        bound = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._failures, 20))
        self._failures += 1
        self._reuse()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(0, bound)):  # noqa: S311
                await self._closing.wait()


def _settled(lease: Lease, outcome: Outcome) -> LeaseRelease:
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
