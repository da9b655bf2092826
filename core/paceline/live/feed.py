"""What one client is told: every event, or where each run stands so many times a second.

A feed holds places, not messages: what a client is behind costs nothing here, and a client that
fell behind what is kept is told so and given where the run stands.
"""

import asyncio
from collections.abc import Collection, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Literal

from paceline.contracts.events import START, StreamPosition, resync
from paceline.contracts.records import Run
from paceline.errors import RunNotFound, first_cause
from paceline.live.channel import Channel
from paceline.live.hub import Hub

#: ``roadmap``: where a run stands, coalesced; ``concept``: every event.
Level = Literal["roadmap", "concept"]

#: Messages a second of the level ``roadmap``, at most.
RATE = 4.0
#: Seconds that a client's place may take to be reached by what the bus keeps.
PATIENCE = 1.0
#: Runs that are begun to be told of at the same time.
_BEGUN = 20
#: Entries taken from a channel in one go: another client's turn comes after them.
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Told:
    """One message to a client.

    Attributes:
        text: an event as JSON.
        position: the client's place then: what it goes on after.
        terminal: whether the run is over with it.
        resync: whether it tells that events were missed.
    """

    text: str
    position: StreamPosition
    terminal: bool = False
    resync: bool = False


class Cursor:
    """A client's place in one run.

    Args:
        channel: the run's channel.
        after: the last event that the client saw; ``None`` if it knows nothing of the run.
        level: what it wants to be told.

    Attributes:
        over: whether the run's end was told.
    """

    def __init__(self, channel: Channel, after: StreamPosition | None, level: Level) -> None:
        self.channel = channel
        self._level = level
        told_by_store = channel.newest == START
        # Who was told before anything was heard may have been told anything.
        self._at = None if told_by_store and after == START else after
        # A client that has seen the newest event may not have seen what the store corrected.
        self._corrections = 0
        seen_all = self._at == channel.place and (told_by_store or not channel.corrections)
        self._version = channel.version if seen_all else -1
        self.over = seen_all and channel.ended

    def read(self) -> list[Told]:
        """What is new; nothing more once the run's end was told."""
        channel = self.channel
        if self.over:
            return []
        told: list[Told] = []
        if self._at is None or not channel.reaches(self._at):
            if self._at is not None:
                event = resync(channel.run_id, channel.newest)
                told.append(Told(event.model_dump_json(), channel.newest, resync=True))
            told.append(self._state())
        elif self._level == "roadmap":
            if self._version != channel.version:
                told.append(self._state())
        else:
            for entry in channel.after(self._at, most=_AT_ONCE):
                told.append(Told(entry.text, entry.position, entry.event.terminal))
                self._at = entry.position
            if self._at == channel.newest and self._corrections != channel.corrections:
                told.append(self._state())
        self.over = any(one.terminal for one in told)
        return told

    def _state(self) -> Told:
        channel = self.channel
        self._at = channel.newest
        self._version = channel.version
        self._corrections = channel.corrections
        return Told(channel.state_text(), channel.place, channel.state.terminal)

    @property
    def behind(self) -> bool:
        """Whether there is more to read at once."""
        return not self.over and self._at != self.channel.newest and self._level == "concept"


class Feed:
    """One client's messages.

    Use it as a context manager: leaving it gives up the runs. All methods belong to one task.

    Args:
        hub: who reads the runs.
        level: what the client wants to be told.
        rate: answers of ``next`` a second at most, at the level ``roadmap``.

    Attributes:
        level: what the client wants to be told.
    """

    def __init__(self, hub: Hub, *, level: Level = "roadmap", rate: float = RATE) -> None:
        self.level: Level = level
        self._hub = hub
        self._pause = 1.0 / rate if level == "roadmap" else 0.0
        self._told_at = -self._pause
        self._cursors: dict[str, Cursor] = {}
        self._held: dict[str, AsyncExitStack] = {}
        self._stirred: dict[str, None] = {}
        self._found: dict[str, Run] = {}
        self._over: dict[str, int] = {}
        self._news = asyncio.Event()
        self._all = AsyncExitStack()
        self._watches_all = False
        self._turns = asyncio.Semaphore(_BEGUN)

    async def __aenter__(self) -> "Feed":
        self._hub.feeds.add(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._hub.feeds.discard(self)
        await self._all.aclose()
        for run_id in list(self._held):
            await self._drop(run_id)

    @property
    def runs(self) -> int:
        """How many runs it tells of now."""
        return len(self._held)

    @property
    def over(self) -> bool:
        """Whether the client has seen the end of every run that it follows."""
        return all(cursor.over for cursor in self._cursors.values()) and not self._watches_all

    def stirred(self, run_id: str) -> None:
        """There may be something new of a run."""
        self._stirred[run_id] = None
        self._news.set()

    async def follow(self, run_id: str, after: StreamPosition | None = None) -> None:
        """Tell of a run, from its state on or from where the client was.

        Raises:
            RunNotFound: there is no such run.
            PartUnavailable: the store cannot be reached.
        """
        await self._begin(run_id, after, None)

    async def follow_all(
        self, places: Mapping[str, StreamPosition], *, tenants: Collection[str] = ()
    ) -> None:
        """Tell of every unfinished run, now and later, and of those that the client knew.

        Args:
            places: the last event of each run that the client saw.
            tenants: of whose runs; where there are none, of everybody's.

        Raises:
            PartUnavailable: the store cannot be reached.
        """

        def found(run: Run) -> None:
            told = self._over.get(run.run_id)
            fresh = told is None or run.status == "queued" or run.fence > told
            if fresh and run.run_id not in self._held:
                self._found[run.run_id] = run
                self._news.set()

        self._watches_all = True
        # All at once: where the bus has begun anew, each place is waited for.
        await _all_of(self._go_on(run_id, after, tenants) for run_id, after in places.items())
        await self._all.enter_async_context(self._hub.watch_all(found, tenants))

    async def next(self) -> list[Told]:
        """Wait for what is new; nothing is new any more when the answer is empty.

        Raises:
            PartUnavailable: the store cannot be reached, as a run is begun.
        """
        loop = asyncio.get_running_loop()
        if self._pause:
            await asyncio.sleep(self._told_at + self._pause - loop.time())
        while not self._hub.closed:
            self._news.clear()
            await self._begin_found()
            told = self._read()
            await self._drop_over()
            if told:
                self._told_at = loop.time()
                return told
            if not self._held and not self._watches_all:
                break
            await self._news.wait()
        return []

    async def _go_on(self, run_id: str, after: StreamPosition, tenants: Collection[str]) -> None:
        """Tell of a run that the client knew, if it is there and one of its own."""
        try:
            async with self._turns:
                run = await self._hub.run(run_id)
        except RunNotFound:
            return
        if not tenants or run.share.tenant in tenants:
            await self._begin(run_id, after, run)

    async def _begin(self, run_id: str, after: StreamPosition | None, run: Run | None) -> None:
        stack = self._held[run_id] = AsyncExitStack()
        try:
            async with self._turns:
                channel = await stack.enter_async_context(self._hub.watch(run_id, run))
            channel.readers.add(self)
            stack.callback(channel.readers.discard, self)
            if after is not None:
                await _reached(channel, after)
        except BaseException:
            del self._held[run_id]
            await stack.aclose()
            raise
        self._cursors[run_id] = Cursor(channel, after, self.level)
        self.stirred(run_id)

    async def _begin_found(self) -> None:
        while self._found:
            found, self._found = self._found, {}
            await _all_of(self._begin(run_id, None, run) for run_id, run in found.items())

    def _read(self) -> list[Told]:
        told: list[Told] = []
        stirred, self._stirred = self._stirred, {}
        for run_id in stirred:
            cursor = self._cursors.get(run_id)
            if cursor is not None:
                told += cursor.read()
                if cursor.behind:
                    self.stirred(run_id)
        return told

    async def _drop_over(self) -> None:
        over = [run_id for run_id, cursor in self._cursors.items() if cursor.over]
        for run_id in over:
            self._over[run_id] = self._cursors[run_id].channel.state.fence
            await self._drop(run_id)

    async def _drop(self, run_id: str) -> None:
        self._cursors.pop(run_id, None)
        await self._held.pop(run_id).aclose()


async def _all_of(parts: Iterable[Coroutine[None, None, None]]) -> None:
    """Do all of them at once; the first that fails ends the others."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for part in parts:
                tasks.create_task(part)
    except BaseExceptionGroup as group:
        raise first_cause(group) from None


async def _reached(channel: Channel, after: StreamPosition) -> None:
    """Wait a moment for the place of a client that knows more than is known here."""
    if after.epoch and channel.newest < after:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await channel.until(after)
