"""The stream of one client: every event, or the state of each run a few times per second.

A feed holds positions, not messages, so a slow client costs no memory. A client that falls
behind the retained events gets ``resync_required`` and the run's current state.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Literal

from paceline.client.tenant_scope import TenantScope
from paceline.contracts.events import START, StreamPosition, resync
from paceline.contracts.storage.records import Run
from paceline.errors import RunNotFound
from paceline.live.channel import Channel
from paceline.live.hub import Hub
from paceline.tasks import run_all

#: ``roadmap``: the state of each run, coalesced; ``concept``: every event.
Level = Literal["roadmap", "concept"]

#: Maximum number of messages per second at the level ``roadmap``.
RATE = 4.0
#: Maximum number of seconds to wait until the bus has delivered a client's position.
PATIENCE = 1.0
#: Maximum number of runs that a feed starts to follow at the same time.
_MAX_STARTING = 20
#: Maximum number of log entries to read at once, before other clients get their turn.
_MAX_READ = 100


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """One message to a client.

    Attributes:
        text: an event as JSON.
        position: the client's position after this message.
        terminal: whether this is the last message of the run.
        resync: whether the message says that the client missed events.
    """

    text: str
    position: StreamPosition
    terminal: bool = False
    resync: bool = False


class Cursor:
    """A client's position in one run.

    Args:
        channel: the run's channel.
        after: the last event that the client received; ``None`` if it knows nothing of the run.
        level: what the client receives.

    Attributes:
        ended: whether the client has received the run's end.
    """

    def __init__(self, channel: Channel, after: StreamPosition | None, level: Level) -> None:
        self.channel = channel
        self._level = level
        no_events = channel.newest == START
        # A client at START received some state from the store, and we do not know which one.
        self._position = None if no_events and after == START else after
        # A client that has the newest event may not have what the store corrected.
        self._corrections = 0
        up_to_date = self._position == channel.position and (no_events or not channel.corrections)
        self._version = channel.version if up_to_date else -1
        self.ended = up_to_date and channel.ended

    def read(self) -> list[StreamMessage]:
        """New messages; none after the run's end."""
        channel = self.channel
        if self.ended:
            return []
        messages: list[StreamMessage] = []
        if self._position is None or not channel.reaches(self._position):
            if self._position is not None:
                event = resync(channel.run_id, channel.newest)
                text = event.model_dump_json()
                messages.append(StreamMessage(text, channel.newest, resync=True))
            messages.append(self._state())
        elif self._level == "roadmap":
            if self._version != channel.version:
                messages.append(self._state())
            self._position = channel.newest
        else:
            for entry in channel.after(self._position, limit=_MAX_READ):
                messages.append(StreamMessage(entry.text, entry.position, entry.event.terminal))
                self._position = entry.position
            if self._position == channel.newest and self._corrections != channel.corrections:
                messages.append(self._state())
        self.ended = any(message.terminal for message in messages)
        return messages

    def _state(self) -> StreamMessage:
        channel = self.channel
        self._position = channel.newest
        self._version = channel.version
        self._corrections = channel.corrections
        return StreamMessage(channel.state_text(), channel.position, channel.state.terminal)

    @property
    def behind(self) -> bool:
        """Whether the log has more to read now."""
        behind = self._position != self.channel.newest
        return not self.ended and behind and self._level == "concept"


class Feed:
    """The messages of one client.

    Use it as a context manager; at its end the feed stops following its runs. All methods must
    be called by one task.

    Args:
        hub: reads the runs.
        level: what the client receives.
        rate: maximum number of results of ``next`` per second, at the level ``roadmap``.
        tenant: tenant of the client: for the feed, runs of other tenants do not exist. ``None``
            for a client that may see the runs of all tenants.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        level: Level = "roadmap",
        rate: float = RATE,
        tenant: str | None = None,
    ) -> None:
        self.level: Level = level
        self._hub = hub
        self._scope = TenantScope(tenant)
        self._pause = 1.0 / rate if level == "roadmap" else 0.0
        self._last_sent = -self._pause
        self._cursors: dict[str, Cursor] = {}
        self._watches: dict[str, AsyncExitStack] = {}
        self._changed: dict[str, None] = {}
        self._found: dict[str, Run] = {}
        #: Fence of each run that has ended for the client.
        self._ended: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._all = AsyncExitStack()
        self._follows_all = False
        self._starting = asyncio.Semaphore(_MAX_STARTING)

    async def __aenter__(self) -> "Feed":
        self._hub.feeds.add(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._hub.feeds.discard(self)
        await self._all.aclose()
        for run_id in list(self._watches):
            await self._drop(run_id)

    @property
    def runs(self) -> int:
        """Number of runs that the feed follows now."""
        return len(self._watches)

    @property
    def ended(self) -> bool:
        """Whether the client has received the end of every run that it follows."""
        return all(cursor.ended for cursor in self._cursors.values()) and not self._follows_all

    def notify(self, run_id: str) -> None:
        """A run may have new events or a new state."""
        self._changed[run_id] = None
        self._wake.set()

    async def follow(self, run_id: str, after: StreamPosition | None = None) -> None:
        """Follow a run.

        ``after`` is the position of the last event that the client received. If it is ``None``, the
        first message is the run's current state.

        Raises:
            RunNotFound: there is no such run.
            PartUnavailable: the store cannot be reached.
        """
        await self._start(await self._visible(run_id), after)

    async def follow_all(self, after: Mapping[str, StreamPosition]) -> None:
        """Follow every unfinished run, present and future, and the runs that the client knows.

        ``after`` is the position of the last event that the client received, by run.

        Raises:
            PartUnavailable: the store cannot be reached.
        """

        def on_run(run: Run) -> None:
            fence = self._ended.get(run.run_id)
            fresh = fence is None or run.status == "queued" or run.fence > fence
            if fresh and run.run_id not in self._watches:
                self._found[run.run_id] = run
                self._wake.set()

        self._follows_all = True
        # At the same time: if the bus started a new epoch, each position waits for it.
        await run_all(self._resume(run_id, at) for run_id, at in after.items())
        await self._all.enter_async_context(self._hub.watch_all(on_run, self._scope.names))

    async def next(self) -> list[StreamMessage]:
        """Wait for new messages. An empty list means that no message will follow.

        Raises:
            PartUnavailable: the store cannot be reached when the feed starts to follow a run.
        """
        loop = asyncio.get_running_loop()
        if self._pause:
            await asyncio.sleep(self._last_sent + self._pause - loop.time())
        while not self._hub.closed:
            self._wake.clear()
            await self._start_found()
            messages = self._read()
            await self._drop_ended()
            if messages:
                self._last_sent = loop.time()
                return messages
            if not self._watches and not self._follows_all:
                break
            await self._wake.wait()
        return []

    async def _resume(self, run_id: str, after: StreamPosition) -> None:
        """Follow a run that the client knows, if the run exists and the client may see it."""
        try:
            async with self._starting:
                run = await self._visible(run_id)
        except RunNotFound:
            return
        await self._start(run, after)

    async def _visible(self, run_id: str) -> Run:
        """A run that the client may see.

        Raises:
            RunNotFound: there is no such run.
        """
        return self._scope.check(await self._hub.store.run(run_id))

    async def _start(self, run: Run, after: StreamPosition | None) -> None:
        run_id = run.run_id
        stack = self._watches[run_id] = AsyncExitStack()
        try:
            async with self._starting:
                channel = await stack.enter_async_context(self._hub.watch(run))
            channel.subscribers.add(self)
            stack.callback(channel.subscribers.discard, self)
            if after is not None:
                await _wait_for(channel, after)
        except BaseException:
            del self._watches[run_id]
            await stack.aclose()
            raise
        self._cursors[run_id] = Cursor(channel, after, self.level)
        self.notify(run_id)

    async def _start_found(self) -> None:
        while self._found:
            found, self._found = self._found, {}
            await run_all(
                self._start(run, None) for run in found.values() if run.run_id not in self._watches
            )

    def _read(self) -> list[StreamMessage]:
        messages: list[StreamMessage] = []
        changed, self._changed = self._changed, {}
        for run_id in changed:
            cursor = self._cursors.get(run_id)
            if cursor is not None:
                messages += cursor.read()
                if cursor.behind:
                    self.notify(run_id)
        return messages

    async def _drop_ended(self) -> None:
        ended = [run_id for run_id, cursor in self._cursors.items() if cursor.ended]
        for run_id in ended:
            self._ended[run_id] = self._cursors[run_id].channel.state.fence
            await self._drop(run_id)

    async def _drop(self, run_id: str) -> None:
        self._cursors.pop(run_id, None)
        await self._watches.pop(run_id).aclose()


async def _wait_for(channel: Channel, after: StreamPosition) -> None:
    """Wait up to ``PATIENCE`` if a client's position is ahead of the channel."""
    if after.epoch and channel.newest < after:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await channel.until(after)
