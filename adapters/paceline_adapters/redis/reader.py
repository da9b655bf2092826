"""One task that reads the streams of all runs that anybody in this process follows."""

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

#: An entry of a stream: where, and its fields as a flat list.
Entry = tuple[StreamPosition, Sequence[str]]

_AT_ONCE = 500
_BUFFERED = 1000


class Feed:
    """What waits for one subscriber.

    Attributes:
        behind: whether entries may be missing here: it must catch up from the stream. So
            begins each, and so becomes one that is slow or was cut off.
    """

    def __init__(self) -> None:
        self.behind = True
        self._entries: deque[Entry] = deque()
        self._news = asyncio.Event()

    def catches_up(self) -> None:
        """Gather anew: the subscriber now reads what came before."""
        self.behind = False
        self._entries.clear()
        self._news.clear()

    def offer(self, entry: Entry) -> None:
        """Add an entry, unless the subscriber has to catch up anyway."""
        if len(self._entries) >= _BUFFERED:
            self.cut_off()
        elif not self.behind:
            self._entries.append(entry)
            self._news.set()

    def cut_off(self) -> None:
        """Make the subscriber catch up."""
        self.behind = True
        self._entries.clear()
        self._news.set()

    def take(self) -> Entry | None:
        """The next entry, if there is one."""
        return self._entries.popleft() if self._entries else None

    async def news(self) -> None:
        """Wait for an entry, or for being cut off."""
        await self._news.wait()
        self._news.clear()

    def wake(self) -> None:
        """Make the subscriber look."""
        self._news.set()


@dataclass(slots=True)
class _Followed:
    feeds: set[Feed] = field(default_factory=set[Feed])
    read: StreamPosition | None = None  # None until the first feed knows where the stream stands


class Reader:
    """Reads followed streams for their feeds.

    A new stream must not wait until a read that blocks is over: a *bell*, a stream of our
    own, is part of every read and ends it.

    Args:
        link: the connections; one of them is taken while anything is followed.
        prefix: what every key begins with.
    """

    def __init__(self, link: Link, *, prefix: str) -> None:
        self._link = link
        self._bell = f"{prefix}:reader:{secrets.token_hex(8)}"
        self._bell_read = "0-0"
        # The server answers well before the connection gives up on it.
        self._block = max(1, round(min(5.0, link.timeout / 2) * 1000))
        self._streams: dict[str, _Followed] = {}
        self._something = asyncio.Event()
        self._blocked = False
        self._task: asyncio.Task[None] | None = None
        self._ringing: set[asyncio.Task[None]] = set()

    def follow(self, stream: str, feed: Feed) -> None:
        """Gather entries for a feed, as soon as ``start`` was called for the stream."""
        self._streams.setdefault(stream, _Followed()).feeds.add(feed)
        if self._task is None:
            self._task = start_background(self._read_for_ever())

    def start(self, stream: str, at: StreamPosition) -> None:
        """Read a stream from a position, unless it is being read from one before.

        Another feed may wait for what lies between: it looked at the stream before that was
        there. Only a server whose clock went back begins an epoch below the one we read.
        """
        followed = self._streams[stream]
        if followed.read is None or at.epoch < followed.read.epoch:
            followed.read = at
            self._something.set()
            self._ring()

    def leave(self, stream: str, feed: Feed) -> None:
        """Stop gathering for a feed."""
        followed = self._streams.get(stream)
        if followed is not None:
            followed.feeds.discard(feed)
            if not followed.feeds:
                del self._streams[stream]

    async def close(self) -> None:
        """Stop reading; every feed's subscriber looks once more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task, *self._ringing})
            with suppress(PartUnavailable):
                await self._link.ask("DEL", self._bell, attempts=1)
        for feed in self._feeds():
            feed.wake()

    def _feeds(self) -> list[Feed]:
        return [feed for followed in self._streams.values() for feed in followed.feeds]

    def _ring(self) -> None:
        if self._blocked:  # else the next read begins with all that is followed
            self._blocked = False
            task = asyncio.get_running_loop().create_task(self._end_read())
            self._ringing.add(task)
            task.add_done_callback(self._ringing.discard)

    async def _end_read(self) -> None:
        with suppress(PartUnavailable):  # then the read has ended, or ends by itself
            await self._link.ask("XADD", self._bell, "MAXLEN", 1, "*", "ring", "1")
            await self._link.ask("PEXPIRE", self._bell, 3_600_000)

    async def _read_for_ever(self) -> None:
        backoff = Backoff()
        while True:
            at = {name: f.read for name, f in self._streams.items() if f.read is not None}
            if not at:
                self._something.clear()
                await self._something.wait()
                continue
            names = [self._bell, *at]
            positions = [self._bell_read, *map(str, at.values())]
            words: list[Word] = ["XREAD", "COUNT", _AT_ONCE, "BLOCK", self._block, "STREAMS"]
            self._blocked = True
            try:
                answer = await self._link.ask(*words, *names, *positions, attempts=1)
            except PartUnavailable:
                await self._come_back(backoff)
            else:
                backoff.reset()
                for stream, entries in answer or ():
                    self._deliver(stream, entries)
            finally:
                self._blocked = False

    async def _come_back(self, backoff: Backoff) -> None:
        while True:
            await backoff.pause()
            with suppress(PartUnavailable):
                await self._link.ask("PING", attempts=1)
                break
        # The server may have lost the streams, and with them our place.
        for feed in self._feeds():
            feed.cut_off()

    def _deliver(self, stream: str, entries: Sequence[Any]) -> None:
        if stream == self._bell:
            self._bell_read = str(entries[-1][0])
            return
        followed = self._streams.get(stream)
        for entry in map(entry_of, entries):
            if followed is not None:
                followed.read = entry[0]
                for feed in followed.feeds:
                    feed.offer(entry)


def entry_of(raw: Any) -> Entry:
    """An entry as the server gives it: id, then fields and values in turn."""
    return StreamPosition.parse(str(raw[0])), raw[1] or ()
