"""The event bus across processes: one Redis Stream per run."""

import asyncio
import itertools
import logging
import secrets
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, suppress
from typing import Any

from paceline import Event, EventBus, Finding, PartRejected, PartUnavailable
from paceline.contracts.events import START, StreamPosition, resync
from pydantic import ValidationError

from paceline_adapters.redis.connection import Backoff, Link, Script, Word
from paceline_adapters.redis.reader import Entry, Feed, Reader, parse_entry
from paceline_adapters.redis.server import described

log = logging.getLogger("paceline.events")

PUBLISH = Script.read("publish")
CATCH_UP = Script.read("catch_up")

_PAGE = 500
_MAX_LENGTH = 65_536
_MAX_BACKOFF = 5.0


class RedisBus(EventBus):
    """Carries events between processes.

    Args:
        link: connections, at least two; the bus closes them.
        max_length: events retained per run, approximately: the server trims them in blocks.
        keep: seconds for which a run's events are retained after its last one.
    """

    shared = True

    def __init__(self, link: Link, *, prefix: str, max_length: int, keep: float) -> None:
        self._link = link
        self._prefix = prefix
        self._max_length = max_length
        self._keep = keep
        self._name = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._publishing = asyncio.Lock()
        self._reader = Reader(link, prefix=prefix)
        self._closed = False
        #: Entries that were skipped because they are not valid events.
        self.malformed = 0

    async def publish(self, events: Sequence[Event]) -> None:
        """Append events of one or more runs, in order, in one round trip."""
        calls: dict[str, list[Word]] = {}
        for event in events:
            words = calls.setdefault(event.task_id, self._header())
            words += [_kind(event), event.fence, event.model_dump_json(exclude=_ASSIGNED)]
        if calls:
            async with self._publishing:  # keeps the order, whichever connection is used
                await self._link.run_each(
                    PUBLISH, [(self._keys(run_id), words) for run_id, words in calls.items()]
                )

    async def subscribe(self, run_id: str, after: str | None = None) -> AsyncGenerator[Event, None]:
        """Events of a run, after ``after`` or from the oldest retained event."""
        stream = self._keys(run_id)[0]
        last = StreamPosition.parse(after)
        feed = Feed()
        self._reader.follow(stream, feed)
        try:
            while not self._closed:
                entries: Sequence[Entry]
                if feed.behind:
                    feed.start_catching_up()
                    lost, newest, entries = await self._catch_up(run_id, last)
                    self._reader.start(stream, newest)
                    if len(entries) == _PAGE:
                        feed.fall_behind()  # more pages follow before the live events
                    if lost:
                        last = entries[0][0].before if entries else newest
                        yield resync(run_id, last)
                else:
                    entry = feed.take()
                    if entry is None:
                        await feed.wait()
                        continue
                    if entry[0].epoch < last.epoch:
                        feed.fall_behind()  # from before the stream was recreated
                        continue
                    entries = (entry,)
                for position, event in self._events(entries):
                    if last.epoch == position.epoch and position.offset <= last.offset:
                        continue
                    if not last.leads_to(position):
                        yield resync(run_id, position.before)
                    last = position
                    if event is not None:
                        yield event
        finally:
            self._reader.unfollow(stream, feed)

    async def newest(self, run_id: str) -> str:
        """Position of the run's newest event."""
        epoch, offset = await self._link.execute("HMGET", self._keys(run_id)[1], "epoch", "offset")
        return str(StreamPosition(int(epoch or 0), int(offset or 0)))

    async def forget(self, run_ids: Sequence[str]) -> None:
        """Remove the events of runs. Each run has a slot of its own in a cluster."""
        for run_id in run_ids:
            await self._link.execute("DEL", *self._keys(run_id))

    async def check(self) -> str | Finding:
        """Describe the server, after an event of a run of its own was published and received."""
        run_id = f"doctor:{secrets.token_hex(4)}"
        event = Event(
            type="content_generation_progress",
            task_id=run_id,
            roadmap_id=run_id,
            status="checked",
            progress_current=0,
            progress_total=0,
        )
        try:
            await self.publish([event])
            async with aclosing(self.subscribe(run_id)) as events:
                async for _ in events:
                    break
            await self._reader.check()
        finally:
            with suppress(PartUnavailable):
                await self._link.execute("DEL", *self._keys(run_id))
        return described(self._link.place, await self._link.server(), "events redis", self._prefix)

    async def close(self) -> None:
        """End all subscriptions and disconnect."""
        self._closed = True
        await self._reader.close()
        await self._link.close()

    def _header(self) -> list[Word]:
        nonce = f"{self._name}-{next(self._numbers)}"
        return [self._max_length, max(1, round(self._keep * 1000)), nonce]

    def _keys(self, run_id: str) -> list[str]:
        # The braces put both keys of a run into one slot of a cluster.
        key = f"{self._prefix}:{{run:{run_id}}}"
        return [f"{key}:events", f"{key}:state"]

    async def _catch_up(
        self, run_id: str, last: StreamPosition
    ) -> tuple[bool, StreamPosition, list[Entry]]:
        backoff = Backoff(most=_MAX_BACKOFF)
        while True:
            try:
                answer = await self._link.run(CATCH_UP, self._keys(run_id), [*last, _PAGE])
            except PartUnavailable as error:
                if self._closed:
                    return False, START, []
                level = logging.WARNING if isinstance(error, PartRejected) else logging.DEBUG
                log.log(level, "run %s cannot be followed, retrying: %s", run_id, error)
                await backoff.pause()
            else:
                lost, epoch, offset, entries = answer
                return (
                    bool(lost),
                    StreamPosition(epoch, offset),
                    [parse_entry(entry) for entry in entries],
                )

    def _events(self, entries: Sequence[Entry]) -> Iterator[tuple[StreamPosition, Event | None]]:
        for position, fields in entries:
            event = _event(position, fields)
            if event is None:
                self.malformed += 1
                log.warning(
                    "skipping entry %s of the event stream: it is not a valid event", position
                )
            yield position, event


_ASSIGNED = {"epoch", "offset"}


def _kind(event: Event) -> str:
    if event.terminal:
        return "terminal"
    return "snapshot" if event.type == "content_generation_snapshot" else "progress"


def _event(position: StreamPosition, fields: Sequence[Any]) -> Event | None:
    """The event of an entry; ``None`` if the entry is not an event of ours."""
    if len(fields) != 2 or fields[0] != "event" or len(fields[1]) > _MAX_LENGTH:
        return None
    try:
        event = Event.model_validate_json(fields[1])
    except ValidationError:
        return None
    return event.model_copy(update=position._asdict())
