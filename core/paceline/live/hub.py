"""The runs that clients follow from this process. Each run is read once for all clients."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from paceline.client.follow import as_purged
from paceline.contracts.events import START, EventBus, StreamPosition
from paceline.contracts.storage.records import ENDED, Run
from paceline.contracts.storage.store import Store
from paceline.errors import PacelineError, RunNotFound
from paceline.live.channel import Channel, Subscriber
from paceline.tasks import cancel_and_wait

log = logging.getLogger("paceline.live")

#: Seconds between two polls of the store while a client follows runs.
POLL_EVERY = 0.5
#: Seconds without an event of a run after which the store is trusted.
SILENCE = 5.0
#: Maximum number of seconds to read the events that the bus keeps before a channel is used.
CATCH_UP = 5.0
#: Maximum number of unfinished runs that a client of all runs follows at once.
MAX_RUNS = 1000


@dataclass(slots=True)
class _Open:
    channel: Channel
    users: int = 0
    polled_at: float = 0.0
    pump: "asyncio.Task[None] | None" = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """Reads the streams of runs for all clients of this process.

    ``kept`` is the number of events per run to keep for clients that reconnect. All ``feeds``
    end when the hub is ``closed``.
    """

    def __init__(self, store: Store, bus: EventBus, *, kept: int) -> None:
        self.store = store
        self._bus = bus
        self._kept = kept
        self.feeds: set[Subscriber] = set()
        self._open: dict[str, _Open] = {}
        #: Callbacks for unfinished runs, each with the tenants that it wants: all if empty.
        #: The default tenant has the empty name.
        self._watching_all: dict[Callable[[Run], None], frozenset[str]] = {}
        self._polling: asyncio.Task[None] | None = None
        self.closed = False

    async def close(self) -> None:
        """End all feeds, and stop reading."""
        self.closed = True
        for feed in tuple(self.feeds):
            feed.notify("")
        tasks = [opened.pump for opened in self._open.values() if opened.pump is not None]
        if self._polling is not None:
            tasks.append(self._polling)
        await cancel_and_wait(*tasks)

    def channel(self, run_id: str) -> Channel | None:
        """The channel of a run that a client follows; ``None`` if no client does."""
        opened = self._open.get(run_id)
        return None if opened is None else opened.channel

    # -- watching ------------------------------------------------------------------------

    @asynccontextmanager
    async def watch(self, run: Run) -> AsyncGenerator[Channel]:
        """Open the channel of a run of the store; it has the events that the bus keeps."""
        opened = self._opened(run)
        opened.users += 1
        try:
            await opened.ready.wait()
            yield opened.channel
        finally:
            opened.users -= 1
            if not opened.users and opened.pump is not None:
                self._open.pop(run.run_id, None)
                await cancel_and_wait(opened.pump)

    @asynccontextmanager
    async def watch_all(
        self, on_run: Callable[[Run], None], tenants: Collection[str] = ()
    ) -> AsyncGenerator[None]:
        """Call ``on_run`` with each unfinished run, of ``tenants`` or of all, at each poll."""
        wanted = self._watching_all[on_run] = frozenset(tenants)
        self._start_polling()
        try:
            for run in await self._unfinished(wanted):
                on_run(run)
            yield
        finally:
            del self._watching_all[on_run]

    async def _unfinished(self, tenants: Collection[str]) -> Sequence[Run]:
        """Up to ``MAX_RUNS`` unfinished runs, newest first."""
        return await self.store.runs(
            status=("queued", "running"), tenants=sorted(tenants), limit=MAX_RUNS
        )

    def run_changed(self, run: Run) -> None:
        """Use a run that the caller has just read from the store or changed there."""
        opened = self._open.get(run.run_id)
        if opened is not None:
            opened.channel.compare(run, trust=run.status in {"queued", "paused", *ENDED})
        if run.status not in ENDED:
            for on_run, tenants in tuple(self._watching_all.items()):
                if not tenants or run.share.tenant in tenants:
                    on_run(run)

    def run_purged(self, run: Run) -> None:
        """Send the end to followers of a run that the caller has just purged."""
        opened = self._open.get(run.run_id)
        if opened is not None:
            opened.channel.compare(as_purged(run), trust=True)

    def _opened(self, run: Run) -> _Open:
        opened = self._open.get(run.run_id)
        if opened is None:
            opened = self._open[run.run_id] = _Open(Channel(run, kept=self._kept))
            opened.pump = asyncio.get_running_loop().create_task(self._pump(opened))
            self._start_polling()
        return opened

    # -- reading -------------------------------------------------------------------------

    async def _pump(self, opened: _Open) -> None:
        """Read a run's events into its channel, from the oldest that the bus keeps."""
        channel = opened.channel
        loop = asyncio.get_running_loop()
        late = loop.call_later(CATCH_UP, opened.ready.set)
        target = START
        try:
            target = StreamPosition.parse(await self._bus.newest(channel.run_id))
            if target == START:
                opened.ready.set()
            async with aclosing(self._bus.subscribe(channel.run_id)) as events:
                async for event in events:
                    channel.append(event, loop.time())
                    if channel.newest >= target and not opened.ready.is_set():
                        await self._poll_run(opened)
                        opened.ready.set()
        except PacelineError as error:
            # Without events, the channel follows the store.
            log.warning(
                "cannot read the events of run %s, polling the store instead: %s",
                channel.run_id,
                error,
            )
        finally:
            late.cancel()
            opened.ready.set()

    def _start_polling(self) -> None:
        if self._polling is None or self._polling.done():
            self._polling = asyncio.get_running_loop().create_task(self._poll_forever())

    async def _poll_forever(self) -> None:
        while self._open or self._watching_all:
            try:
                await self._poll()
            except PacelineError as error:
                log.debug("cannot poll the store: %s", error)
            await asyncio.sleep(POLL_EVERY)

    async def _poll(self) -> None:
        """Poll the store once: all unfinished runs if a client follows all, else silent runs."""
        fresh: dict[str, Run] = {}
        for tenants in set(self._watching_all.values()):
            # One query per set of tenants: a thousand runs of one must not hide another's.
            for run in await self._unfinished(tenants):
                fresh[run.run_id] = run
                for on_run, wanted in tuple(self._watching_all.items()):
                    if wanted == tenants:
                        on_run(run)
        for opened in list(self._open.values()):
            if not opened.ready.is_set() or not self._due(opened):
                continue
            run_now = fresh.get(opened.channel.run_id)
            if run_now is not None:
                opened.channel.compare(run_now, trust=self._silent(opened.channel))
            else:
                await self._poll_run(opened)

    async def _poll_run(self, opened: _Open) -> None:
        channel = opened.channel
        opened.polled_at = asyncio.get_running_loop().time()
        ended = channel.ended
        try:
            run = await self.store.run(channel.run_id)
        except RunNotFound:
            channel.compare(as_purged(channel.run), trust=True)
            return
        # The store has the end of a run before the bus has it. So a run that is unfinished after
        # the bus delivered its end was continued, and the events of that come.
        continued = ended and run.status not in ENDED
        channel.compare(run, trust=continued or self._silent(channel))

    def _due(self, opened: _Open) -> bool:
        """Whether the store may know more of a run than the bus has delivered."""
        channel = opened.channel
        if channel.last_event_at is None and not channel.ended:
            return True
        rested = asyncio.get_running_loop().time() - opened.polled_at >= SILENCE
        return rested and self._silent(channel)

    def _silent(self, channel: Channel) -> bool:
        last = channel.last_event_at
        return last is None or asyncio.get_running_loop().time() - last >= SILENCE
