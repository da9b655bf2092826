"""One run's events in this process: a bounded log, and the run's current state.

A channel keeps no queue per client. Each client holds a position in the log, so a slow client
costs nothing. A client that falls behind the log gets a ``resync_required`` message.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from paceline.client.follow import state_of
from paceline.contracts.events import START, Event, StreamPosition
from paceline.contracts.storage.records import ENDED, Run

#: Maximum number of events in a channel's log, even if the bus keeps more.
MAX_KEPT = 5_000


class Subscriber(Protocol):
    """Is notified of changes in channels."""

    def notify(self, run_id: str) -> None:
        """A run may have new events or a new state."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event of the log, with its position and its JSON, encoded once for all clients."""

    position: StreamPosition
    event: Event
    text: str


class Channel:
    """What this process knows of a run.

    Args:
        run: the run, as the store has it.
        kept: number of events to keep.

    Attributes:
        run_id: the run.
        run: the run, as last read from the store.
        state: the run's current state as an event: a snapshot, or its end.
        version: rises with each change of ``state``.
        corrections: rises when ``state`` changed without an event in the log.
        newest: position of the newest event in the log.
        last_event_at: when the bus last delivered an event, by the clock of the event loop.
        generating: ids of the concepts in flight.
        subscribers: notified of changes.
    """

    def __init__(self, run: Run, *, kept: int) -> None:
        self.run_id = run.run_id
        self.run = run
        self.newest = START
        self.state = self._state_in_store(run)
        self.version = 0
        self.corrections = 0
        self.last_event_at: float | None = None
        self.generating: set[str] = set()
        self.subscribers: set[Subscriber] = set()
        self._text: str | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._fence = 0
        self._log: deque[Entry] = deque(maxlen=min(kept, MAX_KEPT))

    @property
    def ended(self) -> bool:
        """Whether the run has ended, as far as this process knows."""
        return self.state.terminal

    @property
    def position(self) -> StreamPosition:
        """Position of a client that has received ``state``."""
        position = StreamPosition(self.state.epoch, self.state.offset)
        return position if self.newest == START else self.newest

    def state_text(self) -> str:
        """``state`` as JSON, encoded once for all clients."""
        if self._text is None:
            self._text = self.state.model_dump_json()
        return self._text

    def reaches(self, position: StreamPosition) -> bool:
        """Whether the log still has everything after a position."""
        if position.epoch != self.newest.epoch and position != START:
            return False
        oldest = self.newest.offset - len(self._log)
        return oldest <= position.offset <= self.newest.offset

    def after(self, position: StreamPosition, *, limit: int) -> Sequence[Entry]:
        """Up to ``limit`` entries after a position that the channel ``reaches``."""
        behind = self.newest.offset - position.offset
        return [self._log[-ahead] for ahead in range(behind, max(0, behind - limit), -1)]

    async def until(self, position: StreamPosition) -> None:
        """Return when the log has reached a position."""
        while self.newest < position:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    # -- updates -------------------------------------------------------------------------

    def append(self, event: Event, now: float) -> None:
        """Add an event of the bus."""
        self.last_event_at = now
        if event.type == "resync_required":
            self._log.clear()
            self.newest = StreamPosition(event.epoch, event.offset)
            self.generating.clear()
            return
        position = StreamPosition(event.epoch, event.offset)
        if not self.newest.leads_to(position):
            self._log.clear()
        self.newest = position
        self._fence = max(self._fence, event.fence)
        self._log.append(Entry(position, event, event.model_dump_json()))
        if event.is_note:
            self._move_state(position)
            return
        self._count_generating(event)
        self._set_state(_as_state(event))

    def compare(self, run: Run, *, trust: bool) -> None:
        """Compare the state with the store's, and correct it if the store is right.

        Args:
            run: the run, as the store has it.
            trust: whether the store is right if the two differ. If not, the channel waits for
                the events, unless the store has a newer claim of the run.
        """
        self.run = run
        state = self.state
        shown = state.status, state.progress_current, state.failed
        if shown == (run.status, run.finished, run.failed):
            return
        if trust or run.fence > self._fence:
            self.corrections += 1
            if run.status in ENDED:
                self.generating.clear()
            self._set_state(self._state_in_store(run))

    def _state_in_store(self, run: Run) -> Event:
        """The state of a run in the store, at the position of the newest event.

        Before the first event there is no position, and a client may have received any older
        state. The end is an exception: it has a position of its own, so that a client that
        has received the end does not receive it again.
        """
        state, at = state_of(run), self.newest
        if at == START and state.terminal:
            at = StreamPosition(0, state.fence + 1)
        return state.model_copy(update={"epoch": at.epoch, "offset": at.offset})

    def _move_state(self, position: StreamPosition) -> None:
        """Keep the state, at the position of a newer event that does not change it."""
        at = {"epoch": position.epoch, "offset": position.offset}
        self.state = self.state.model_copy(update=at)
        self._text = None
        self._notify()

    def _set_state(self, state: Event) -> None:
        self.state = state
        self._text = None
        self.version += 1
        self._notify()

    def _notify(self) -> None:
        for subscriber in self.subscribers:
            subscriber.notify(self.run_id)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _count_generating(self, event: Event) -> None:
        if event.concept_id is None:
            self.generating.clear()
        elif event.status == "generating":
            self.generating.add(event.concept_id)
        else:
            self.generating.discard(event.concept_id)


def _as_state(event: Event) -> Event:
    """The state of the run after an event."""
    if event.concept_id is None:
        return event
    cleared = dict.fromkeys(("concept_id", "step", "reason"))
    snapshot = {"type": "content_generation_snapshot", "status": "running"}
    return event.model_copy(update={**snapshot, **cleared})
