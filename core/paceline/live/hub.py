"""The runs that somebody watches from this process, each read once however many watch it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from paceline.contracts.events import START, EventBus, StreamPosition
from paceline.contracts.records import ENDED, Run
from paceline.contracts.store import Store
from paceline.errors import PacelineError, RunNotFound
from paceline.live.channel import Channel, Reader
from paceline.tasks import cancel_and_wait

log = logging.getLogger("paceline.live")

#: Seconds between looks at the store while somebody watches.
LOOK_EVERY = 0.5
#: Seconds of silence of a run's events after which the store is believed.
SILENCE = 5.0
#: Seconds that what a bus keeps may take to be read before a channel is used without it.
CATCH_UP = 5.0
#: Unfinished runs that are watched at once by who watches all.
MOST_RUNS = 1000


@dataclass(slots=True)
class _Open:
    channel: Channel
    users: int = 0
    looked_at: float = 0.0
    pump: "asyncio.Task[None] | None" = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """Reads the streams of runs for all who watch them here.

    Args:
        store: where runs stand.
        bus: whose events to hear.
        kept: events of a run to keep for who reconnects.

    Attributes:
        closed: whether it reads no more; feeds end then.
    """

    def __init__(self, store: Store, bus: EventBus, *, kept: int) -> None:
        self._store = store
        self._bus = bus
        self._kept = kept
        #: Everybody who is told something: they are stirred when it closes.
        self.feeds: set[Reader] = set()
        self._open: dict[str, _Open] = {}
        #: Who watches all runs, and of which tenants: nobody's are named by the empty name,
        #: and where no tenant is named it is all of them.
        self._watching_all: dict[Callable[[Run], None], frozenset[str]] = {}
        self._looking: asyncio.Task[None] | None = None
        self.closed = False

    async def close(self) -> None:
        """End all feeds, and stop reading."""
        self.closed = True
        for feed in tuple(self.feeds):
            feed.stirred("")
        tasks = [one.pump for one in self._open.values() if one.pump is not None]
        if self._looking is not None:
            tasks.append(self._looking)
        await cancel_and_wait(*tasks)

    def known(self, run_id: str) -> Channel | None:
        """The channel of a run that somebody watches."""
        found = self._open.get(run_id)
        return None if found is None else found.channel

    async def run(self, run_id: str) -> Run:
        """A run as the store has it.

        Raises:
            RunNotFound: there is no such run.
        """
        return await self._store.run(run_id)

    # -- watching ------------------------------------------------------------------------

    @asynccontextmanager
    async def watch(self, run_id: str, run: Run | None = None) -> AsyncGenerator[Channel]:
        """A run's channel, caught up with what the bus keeps; open as long as it is used.

        Args:
            run_id: the run.
            run: as the store has it, where that is known already.

        Raises:
            RunNotFound: there is no such run.
        """
        opened = self._open.get(run_id)
        if opened is None:
            opened = self._opened(run or await self._store.run(run_id))
        opened.users += 1
        try:
            await opened.ready.wait()
            yield opened.channel
        finally:
            opened.users -= 1
            if not opened.users and opened.pump is not None:
                self._open.pop(run_id, None)
                await cancel_and_wait(opened.pump)

    @asynccontextmanager
    async def watch_all(
        self, found: Callable[[Run], None], tenants: Collection[str] = ()
    ) -> AsyncGenerator[None]:
        """Call ``found`` with every unfinished run, again and again, as they are found.

        Args:
            found: whom to call.
            tenants: only with runs of these; where there are none, with all.
        """
        chosen = self._watching_all[found] = frozenset(tenants)
        self._look_on()
        try:
            for run in await self._unfinished(chosen):
                found(run)
            yield
        finally:
            del self._watching_all[found]

    async def _unfinished(self, tenants: Collection[str]) -> Sequence[Run]:
        """Unfinished runs, newest first, as many as are watched at once."""
        return await self._store.runs(
            status=("queued", "running"), tenants=sorted(tenants), limit=MOST_RUNS
        )

    def saw(self, run: Run) -> None:
        """Take in what somebody has just read or changed in the store."""
        opened = self._open.get(run.run_id)
        if opened is not None:
            opened.channel.look(run, trust=run.status in {"queued", *ENDED})
        if run.status not in ENDED:
            for found, tenants in tuple(self._watching_all.items()):
                if not tenants or run.share.tenant in tenants:
                    found(run)

    def _opened(self, run: Run) -> _Open:
        opened = self._open.get(run.run_id)  # somebody may have been faster
        if opened is None:
            opened = self._open[run.run_id] = _Open(Channel(run, kept=self._kept))
            opened.pump = asyncio.get_running_loop().create_task(self._pump(opened))
            self._look_on()
        return opened

    # -- reading -------------------------------------------------------------------------

    async def _pump(self, opened: _Open) -> None:
        """Read a run's events into its channel, from the oldest kept."""
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
                        await self._look_at(opened)
                        opened.ready.set()
        except PacelineError as error:
            # The store is asked as long as nothing is heard.
            log.warning("events of run %s are not heard: %s", channel.run_id, error)
        finally:
            late.cancel()
            opened.ready.set()

    def _look_on(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look_for_ever())

    async def _look_for_ever(self) -> None:
        while self._open or self._watching_all:
            try:
                await self._look()
            except PacelineError as error:
                log.debug("the store is not there to be looked at: %s", error)
            await asyncio.sleep(LOOK_EVERY)

    async def _look(self) -> None:
        """One look: at all unfinished runs if somebody watches all, else at silent ones."""
        fresh: dict[str, Run] = {}
        for tenants in set(self._watching_all.values()):
            # Asked for each: among a thousand runs of one tenant another's would not be found.
            for run in await self._unfinished(tenants):
                fresh[run.run_id] = run
                for found, wanted in tuple(self._watching_all.items()):
                    if wanted == tenants:
                        found(run)
        for opened in list(self._open.values()):
            if not opened.ready.is_set() or not self._due(opened):
                continue
            known = fresh.get(opened.channel.run_id)
            if known is not None:
                opened.channel.look(known, trust=self._silent(opened.channel))
            else:
                await self._look_at(opened)

    async def _look_at(self, opened: _Open) -> None:
        channel = opened.channel
        opened.looked_at = asyncio.get_running_loop().time()
        try:
            run = await self._store.run(channel.run_id)
        except RunNotFound:
            return
        channel.look(run, trust=self._silent(channel))

    def _due(self, opened: _Open) -> bool:
        """Whether the store may know more than the bus has told."""
        channel = opened.channel
        if channel.heard_at is None and not channel.ended:
            return True
        rested = asyncio.get_running_loop().time() - opened.looked_at >= SILENCE
        return rested and self._silent(channel)

    def _silent(self, channel: Channel) -> bool:
        heard = channel.heard_at
        return heard is None or asyncio.get_running_loop().time() - heard >= SILENCE
