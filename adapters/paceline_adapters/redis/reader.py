"""One task that reads the streams of all runs that are followed in this process."""

import asyncio
import secrets
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from paceline import PartUnavailable
from paceline.contracts.events import StreamPosition
from paceline.tasks import start_background

from paceline_adapters.redis.connection import Backoff, Link, Word

#: An entry of a stream: its position, and its fields as a flat list.
Entry = tuple[StreamPosition, Sequence[str]]

_BATCH = 500
_BUFFERED = 1000


class Feed:
    """Entries that are buffered for one subscriber.

    Attributes:
        behind: whether entries may be missing in the buffer, so that the subscriber must catch
            up from the stream: at the start, if it is slow, and after a disconnect.
    """

    def __init__(self) -> None:
        self.behind = True
        self._entries: deque[Entry] = deque()
        self._changed = asyncio.Event()

    def start_catching_up(self) -> None:
        """Start to buffer: the subscriber now reads the earlier entries from the stream."""
        self.behind = False
        self._entries.clear()
        self._changed.clear()

    def offer(self, entry: Entry) -> None:
        """Add an entry, unless the subscriber must catch up anyway."""
        if len(self._entries) >= _BUFFERED:
            self.fall_behind()
        elif not self.behind:
            self._entries.append(entry)
            self._changed.set()

    def fall_behind(self) -> None:
        """Make the subscriber catch up from the stream."""
        self.behind = True
        self._entries.clear()
        self._changed.set()

    def take(self) -> Entry | None:
        """Remove and return the next entry, if any."""
        return self._entries.popleft() if self._entries else None

    async def wait(self) -> None:
        """Wait for an entry, or until the subscriber must catch up."""
        await self._changed.wait()
        self._changed.clear()

    def wake(self) -> None:
        """Wake the subscriber."""
        self._changed.set()


@dataclass(slots=True)
class _Followed:
    feeds: set[Feed] = field(default_factory=set[Feed])
    read: StreamPosition | None = None  # None until the first feed knows the newest position


class Reader:
    """Reads followed streams for their feeds.

    A blocking read would delay a newly followed stream. So each read includes a *wake-up
    stream* of this process; adding an entry to it ends the read.

    Args:
        link: the connections; the reader uses one of them while a stream is followed.
    """

    def __init__(self, link: Link, *, prefix: str) -> None:
        self._link = link
        self._wakeups = f"{prefix}:reader:{secrets.token_hex(8)}"
        self._wakeups_read = "0-0"
        # The server must answer well before the connection times out.
        self._block = max(1, round(min(5.0, link.timeout / 2) * 1000))
        self._streams: dict[str, _Followed] = {}
        self._followed = asyncio.Event()
        self._blocked = False
        self._task: asyncio.Task[None] | None = None
        self._waking: set[asyncio.Task[None]] = set()

    def follow(self, stream: str, feed: Feed) -> None:
        """Buffer entries for a feed, as soon as ``start`` was called for the stream."""
        self._streams.setdefault(stream, _Followed()).feeds.add(feed)
        if self._task is None:
            self._task = start_background(self._read_for_ever())

    def start(self, stream: str, at: StreamPosition) -> None:
        """Read a stream from a position, unless it is already read from an earlier one.

        Another feed may need the entries between the two positions. Only if the server's clock
        was set back, a new epoch is lower than the one that is read.
        """
        followed = self._streams[stream]
        if followed.read is None or at.epoch < followed.read.epoch:
            followed.read = at
            self._followed.set()
            self._end_blocking_read()

    def unfollow(self, stream: str, feed: Feed) -> None:
        """Stop buffering for a feed."""
        followed = self._streams.get(stream)
        if followed is not None:
            followed.feeds.discard(feed)
            if not followed.feeds:
                del self._streams[stream]

    async def check(self) -> None:
        """Read the stream of this process once. Raises as ``Link.execute``."""
        await self._wake_up_stream()
        await self._link.execute("XREAD", "COUNT", 1, "STREAMS", self._wakeups, "0")

    async def close(self) -> None:
        """Stop reading, and wake all subscribers."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task, *self._waking})
            with suppress(PartUnavailable):
                await self._link.execute("DEL", self._wakeups, attempts=1)
        for feed in self._feeds():
            feed.wake()

    def _feeds(self) -> list[Feed]:
        return [feed for followed in self._streams.values() for feed in followed.feeds]

    def _end_blocking_read(self) -> None:
        if self._blocked:  # otherwise the next read includes the new stream
            self._blocked = False
            task = asyncio.get_running_loop().create_task(self._wake_up())
            self._waking.add(task)
            task.add_done_callback(self._waking.discard)

    async def _wake_up(self) -> None:
        with suppress(PartUnavailable):  # then the read has failed too, or times out
            await self._wake_up_stream()

    async def _wake_up_stream(self) -> None:
        await self._link.execute("XADD", self._wakeups, "MAXLEN", 1, "*", "wake", "1")
        await self._link.execute("PEXPIRE", self._wakeups, 3_600_000)

    async def _read_for_ever(self) -> None:
        backoff = Backoff()
        while True:
            at = {name: f.read for name, f in self._streams.items() if f.read is not None}
            if not at:
                self._followed.clear()
                await self._followed.wait()
                continue
            names = [self._wakeups, *at]
            positions = [self._wakeups_read, *map(str, at.values())]
            words: list[Word] = ["XREAD", "COUNT", _BATCH, "BLOCK", self._block, "STREAMS"]
            self._blocked = True
            try:
                answer = await self._link.execute(*words, *names, *positions, attempts=1)
            except PartUnavailable:
                await self._reconnect(backoff)
            else:
                backoff.reset()
                for stream, entries in answer or ():
                    self._deliver(stream, entries)
            finally:
                self._blocked = False

    async def _reconnect(self, backoff: Backoff) -> None:
        while True:
            await backoff.pause()
            with suppress(PartUnavailable):
                await self._link.execute("PING", attempts=1)
                break
        # The server may have lost the streams, so that our positions are no longer valid.
        for feed in self._feeds():
            feed.fall_behind()

    def _deliver(self, stream: str, entries: Sequence[Any]) -> None:
        if stream == self._wakeups:
            self._wakeups_read = str(entries[-1][0])
            return
        followed = self._streams.get(stream)
        for entry in map(parse_entry, entries):
            if followed is not None:
                followed.read = entry[0]
                for feed in followed.feeds:
                    feed.offer(entry)


def parse_entry(raw: Any) -> Entry:
    """Read an entry from the server's form: id, then fields and values in turn."""
    return StreamPosition.parse(str(raw[0])), raw[1] or ()
