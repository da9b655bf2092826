"""Admission over all workers: first come, first served here, fair between the workers."""

import asyncio
import contextlib
import logging
import random
import secrets
from collections.abc import Sequence

from paceline.concern import in_background
from paceline.errors import PartUnavailable
from paceline.ledger import Grant, Ledger
from paceline.work import Outcome, Permit

from paceline_strategies.limits import Limit, Sample

log = logging.getLogger("paceline.limits")

#: Waiters and settlements that one exchange carries at most.
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
        limit: the arithmetic.
        holder: this process's name in the ledger; must be its own.
    """

    def __init__(
        self, ledger: Ledger, *, name: str, limit: Limit, holder: str | None = None
    ) -> None:
        self._ledger = ledger
        self._name = name
        self._limit = limit
        self._holder = holder or secrets.token_hex(8)
        self._waiters: dict[asyncio.Future[str], None] = {}
        self._held: dict[str, float] = {}  # lease → when it was granted
        self._settled: dict[str, None] = {}
        self._known_wish = 0  # how many waiters the ledger knows of
        self._news = asyncio.Event()
        self._closing = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._failures = 0
        self._closed = False
        #: Leases that ended although this process held them: it was frozen or cut off.
        self.lost = 0

    @property
    def held(self) -> int:
        """Permits that are out in this process."""
        return len(self._held)

    @property
    def waiting(self) -> int:
        """How many wait in this process."""
        return len(self._waiters)

    @property
    def idle(self) -> bool:
        """Whether nothing is held, wanted or to be settled."""
        return not (self._held or self._waiters or self._settled or self._known_wish)

    async def admit(self) -> Permit:
        """Wait for a permit, behind those who came before in this process."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[str] = loop.create_future()
        self._waiters[waiter] = None
        self._tell()
        try:
            lease = await waiter
        except asyncio.CancelledError:
            self._waiters.pop(waiter, None)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._settle(waiter.result())  # it was our turn in the same moment
            self._tell()
            raise

        def release(outcome: Outcome) -> None:
            now = loop.time()
            in_flight, since = len(self._held), self._held.get(lease, now)
            self._settle(lease)
            self._limit.observe(
                Sample(now=now, seconds=now - since, in_flight=in_flight, outcome=outcome)
            )

        return Permit(release)

    async def close(self) -> None:
        """Give back all that is held here; who waits is cancelled."""
        self._closed = True
        for waiter in self._waiters:
            waiter.cancel()
        self._waiters.clear()
        self._settled.update(dict.fromkeys(self._held))
        self._held.clear()
        self._tell()
        if self._pump is not None:
            self._closing.set()
            pump = self._pump
            await asyncio.wait({pump}, timeout=_LAST_WORDS)
            pump.cancel()
            await asyncio.wait({pump})

    # -- from waiters and permits to the pump --------------------------------------------

    def _settle(self, lease: str) -> None:
        if self._held.pop(lease, None) is not None and not self._closed:
            self._settled[lease] = None
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        if self._pump is None and not self.idle:
            self._pump = in_background(self._run())
            self._pump.add_done_callback(self._stopped)

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
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(error)
        self._waiters.clear()
        self._known_wish = 0

    # -- the pump ------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        every = self._ledger.lease_seconds / 3
        renewed, ask_at = loop.time(), 0.0
        while not self.idle:
            await asyncio.sleep(0)  # all who come in this moment go into one exchange
            self._news.clear()
            try:
                if loop.time() >= renewed + every:
                    await self._renew()
                    renewed, ask_at = loop.time(), 0.0  # the wish lapses like a lease
                while self._should_ask() or (self._waiters and loop.time() >= ask_at):
                    grant = await self._exchange()
                    ends = every if grant.expires_in is None else grant.expires_in
                    # Many processes wait for the same moment: they need not come at once.
                    ask_at = loop.time() + ends + random.uniform(0, ends / 50)  # noqa: S311
            except PartUnavailable as error:
                if self._closed:
                    return
                await self._pause(error)
                ask_at = 0.0
                continue
            self._failures = 0
            if self.idle:
                return
            if await self._woken(
                min(renewed + every, ask_at) if self._waiters else renewed + every
            ):
                ask_at = 0.0

    def _should_ask(self) -> bool:
        """Whether something changed that the ledger should know at once."""
        if self._settled:
            return True
        wish = min(len(self._waiters), _AT_ONCE)
        # More waiters change nothing while the ledger serves us as it can: telling of each
        # doubling keeps its picture of our wish good enough for a fair share.
        return wish >= 2 * self._known_wish if wish else self._known_wish > 0

    async def _exchange(self) -> Grant:
        settle = list(self._settled)[:_AT_ONCE]
        wanted = min(len(self._waiters), _AT_ONCE)
        grant = await self._ledger.exchange(
            self._name,
            capacity=self._limit.limit,
            holder=self._holder,
            wanted=wanted,
            settle=settle,
        )
        for lease in settle:
            self._settled.pop(lease, None)
        self._known_wish = wanted - len(grant.leases)
        self._hand_out(grant.leases)
        return grant

    def _hand_out(self, leases: Sequence[str]) -> None:
        now = asyncio.get_running_loop().time()
        for lease in leases:
            waiter = self._next_waiter()
            if waiter is None:
                self._settled[lease] = None  # who wanted it was cancelled meanwhile
            else:
                self._held[lease] = now
                waiter.set_result(lease)

    def _next_waiter(self) -> "asyncio.Future[str] | None":
        while self._waiters:
            waiter = next(iter(self._waiters))
            del self._waiters[waiter]
            if not waiter.done():
                return waiter
        return None

    async def _renew(self) -> None:
        if not self._held:
            return
        lost = await self._ledger.renew(self._name, holder=self._holder, leases=list(self._held))
        gone = [lease for lease in lost if self._held.pop(lease, None) is not None]
        if gone:
            self.lost += len(gone)
            log.warning("limit %s: %d leases ended before their calls", self._name, len(gone))

    async def _woken(self, until: float) -> bool:
        """Wait for news from here or from the ledger; returns whether the ledger had some."""
        seconds = max(0.0, until - asyncio.get_running_loop().time())
        if not self._waiters:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            return False
        news = asyncio.ensure_future(self._news.wait())
        changed = asyncio.ensure_future(
            self._ledger.changed(self._name, holder=self._holder, seconds=seconds)
        )
        try:
            await asyncio.wait({news, changed}, return_when=asyncio.FIRST_COMPLETED)
            return changed.done()
        finally:
            news.cancel()
            changed.cancel()

    async def _pause(self, error: PartUnavailable) -> None:
        if not self._failures:
            log.warning(
                "limit %s: nothing is admitted until its ledger answers: %s",
                self._name,
                error,
            )
        bound = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._failures, 20))
        self._failures += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(0, bound)):  # noqa: S311
                await self._closing.wait()
