"""One run's stream in this process: a bounded log, and where the run stands.

A channel knows nothing of its readers but that they want to be stirred: each keeps a place in
the log by itself. So a slow reader costs nothing, and one that fell behind what is kept is told.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from paceline.client.follow import state_of
from paceline.contracts.events import START, Event, StreamPosition
from paceline.contracts.records import ENDED, Run

#: Events that a channel keeps, whatever the bus keeps.
MOST_KEPT = 5_000


class Reader(Protocol):
    """Who reads a channel."""

    def stirred(self, run_id: str) -> None:
        """There may be something new to read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event and its place.

    Attributes:
        position: its place in the run's stream.
        event: the event.
        text: the event as JSON, made once for all who read it.
    """

    position: StreamPosition
    event: Event
    text: str


class Channel:
    """What this process knows of a run.

    Args:
        run: as the store has it.
        kept: events to keep.

    Attributes:
        run_id: the run.
        run: as the store had it when it was asked last.
        state: where the run stands, as an event: a snapshot, or its end.
        version: rises with each change of ``state``.
        corrections: rises when ``state`` changed without an event of the log.
        newest: place of the newest event of the log.
        heard_at: when the bus brought something, by the caller's clock.
        generating: concepts in flight.
        readers: who reads it.
    """

    def __init__(self, run: Run, *, kept: int) -> None:
        self.run_id = run.run_id
        self.run = run
        self.newest = START
        self.state = self._stored(run)
        self.version = 0
        self.corrections = 0
        self.heard_at: float | None = None
        self.generating: set[str] = set()
        self.readers: set[Reader] = set()
        self._text: str | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._fence = 0
        self._log: deque[Entry] = deque(maxlen=min(kept, MOST_KEPT))

    @property
    def ended(self) -> bool:
        """Whether the run is over, as far as is known here."""
        return self.state.terminal

    @property
    def place(self) -> StreamPosition:
        """Where a client stands that was told of ``state`` now."""
        told = StreamPosition(self.state.epoch, self.state.offset)
        return told if self.newest == START else self.newest

    def state_text(self) -> str:
        """``state`` as JSON, made once for all who read it."""
        if self._text is None:
            self._text = self.state.model_dump_json()
        return self._text

    def reaches(self, position: StreamPosition) -> bool:
        """Whether everything after a place is still here."""
        if position.epoch != self.newest.epoch and position != START:
            return False
        oldest = self.newest.offset - len(self._log)
        return oldest <= position.offset <= self.newest.offset

    def after(self, position: StreamPosition, *, most: int) -> Sequence[Entry]:
        """Up to so many entries that follow a place which this channel ``reaches``."""
        behind = self.newest.offset - position.offset
        return [self._log[-ahead] for ahead in range(behind, max(0, behind - most), -1)]

    async def until(self, position: StreamPosition) -> None:
        """Return when the log has come as far as a place."""
        while self.newest < position:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter

    # -- what comes in -------------------------------------------------------------------

    def append(self, event: Event, now: float) -> None:
        """Add an event of the bus."""
        self.heard_at = now
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
        self._count(event)
        self._now_is(_as_state(event))

    def look(self, run: Run, *, trust: bool) -> None:
        """Compare with what the store has.

        Args:
            run: the run, as it stands there.
            trust: whether the store is believed where the two differ; else what it knows
                is on its way here as events.
        """
        self.run = run
        told = self.state
        here = (told.status, told.progress_current, told.failed)
        if here == (run.status, run.finished, run.failed):
            return
        if trust or run.fence > self._fence:
            self.corrections += 1
            if run.status in ENDED:
                self.generating.clear()
            self._now_is(self._stored(run))

    def _stored(self, run: Run) -> Event:
        """Where a run stands as the store has it, told in the place that was heard of last.

        Where nothing was heard that is no place, and what was told there may be old. But an end
        has one: who has seen it need not be told again.
        """
        state, at = state_of(run), self.newest
        if at == START and state.terminal:
            at = StreamPosition(0, state.fence + 1)
        return state.model_copy(update={"epoch": at.epoch, "offset": at.offset})

    def _now_is(self, state: Event) -> None:
        self.state = state
        self._text = None
        self.version += 1
        for reader in self.readers:
            reader.stirred(self.run_id)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _count(self, event: Event) -> None:
        if event.concept_id is None:
            self.generating.clear()
        elif event.status == "generating":
            self.generating.add(event.concept_id)
        else:
            self.generating.discard(event.concept_id)


def _as_state(event: Event) -> Event:
    """Where the run stands after an event."""
    if event.concept_id is None:
        return event
    return event.model_copy(
        update={
            "type": "content_generation_snapshot",
            "status": "running",
            "concept_id": None,
            "step": None,
            "reason": None,
        }
    )
