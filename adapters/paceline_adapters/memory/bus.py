"""The event bus of one process."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence

from paceline import Event, EventBus
from paceline.contracts.events import START, StreamPosition, resync


class MemoryBus(EventBus):
    """Carries events within this process.

    Args:
        max_length: events kept per run.
        keep: seconds to keep a run's events after the last one.
        clock: returns seconds since 1970, for epochs and for ``keep``.
    """

    shared = False

    def __init__(
        self,
        *,
        max_length: int = 10_000,
        keep: float = 86_400.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._max_length = max_length
        self._keep = keep
        self._clock = clock
        self._streams: dict[str, _Stream] = {}  # the oldest last event comes first
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._closed = False

    async def publish(self, events: Sequence[Event]) -> None:
        """Append events of one or more runs, in order."""
        now = self._clock()
        self._drop_expired(now)
        for event in events:
            stream = self._streams.pop(event.task_id, None) or _Stream()
            self._streams[event.task_id] = stream
            stream.append(event, now, self._max_length)
        for run_id in {event.task_id for event in events}:
            self._wake(run_id)

    async def subscribe(self, run_id: str, after: str | None = None) -> AsyncGenerator[Event, None]:
        """Yield a run's events after the position ``after``, or from the oldest kept."""
        last = StreamPosition.parse(after)
        stream = self._streams.get(run_id)
        if last.epoch and (stream is None or stream.lost(last)):
            last = stream.before_oldest if stream is not None else START
            yield resync(run_id, last)
        while not self._closed:
            stream = self._streams.get(run_id)
            event = stream.after(last) if stream is not None else None
            if event is None:
                await self._wait_for_event(run_id)
                continue
            position = StreamPosition(event.epoch, event.offset)
            if not last.leads_to(position):
                yield resync(run_id, position.before)
            last = position
            yield event

    async def newest(self, run_id: str) -> str:
        """Return the position of the run's newest event."""
        stream = self._streams.get(run_id)
        return str(START if stream is None else stream.newest)

    async def forget(self, run_ids: Sequence[str]) -> None:
        """Remove the events of runs."""
        for run_id in run_ids:
            self._streams.pop(run_id, None)

    async def close(self) -> None:
        """End all subscriptions."""
        self._closed = True
        for run_id in list(self._waiting):
            self._wake(run_id)

    async def _wait_for_event(self, run_id: str) -> None:
        waiter = asyncio.get_running_loop().create_future()
        waiters = self._waiting.setdefault(run_id, set())
        waiters.add(waiter)
        try:
            await waiter
        finally:
            waiters.discard(waiter)
            if not waiters and self._waiting.get(run_id) is waiters:
                del self._waiting[run_id]

    def _wake(self, run_id: str) -> None:
        for waiter in self._waiting.get(run_id, ()):
            if not waiter.done():
                waiter.set_result(None)

    def _drop_expired(self, now: float) -> None:
        while self._streams:
            run_id = next(iter(self._streams))
            if self._streams[run_id].last_at > now - self._keep:
                return
            del self._streams[run_id]


class _Stream:
    """The events of one run in its current epoch, by offset."""

    def __init__(self) -> None:
        self.last_at = 0.0
        self._epoch = 0
        self._offset = 0
        self._fence = 0
        self._ended = False
        # As JSON: a run may keep thousands of events, and an object takes four times the memory.
        self._events: dict[int, bytes] = {}

    @property
    def newest(self) -> StreamPosition:
        return StreamPosition(self._epoch, self._offset)

    @property
    def before_oldest(self) -> StreamPosition:
        return StreamPosition(self._epoch, self._offset - len(self._events))

    def append(self, event: Event, now: float, max_length: int) -> None:
        self.last_at = now
        if event.fence < self._fence:
            return
        if self._ended:
            if event.type != "content_generation_snapshot" or event.fence == self._fence:
                return
            self._ended = False
            self._offset = 0
            self._events.clear()
        if not self._offset:
            self._epoch = max(int(now * 1_000_000), self._epoch + 1)
        self._fence = event.fence
        self._offset += 1
        self._ended = event.terminal
        self._events[self._offset] = event.model_dump_json().encode()
        if len(self._events) > max_length:
            del self._events[self._offset - max_length]

    def lost(self, last: StreamPosition) -> bool:
        """Whether the position is in another epoch, or after the newest event."""
        return last.epoch != self._epoch or last.offset > self._offset

    def after(self, last: StreamPosition) -> Event | None:
        oldest = self.before_oldest.offset + 1
        offset = oldest if last.epoch != self._epoch else max(oldest, last.offset + 1)
        kept = self._events.get(offset)
        if kept is None:
            return None
        assigned = {"epoch": self._epoch, "offset": offset}
        return Event.model_validate_json(kept).model_copy(update=assigned)
