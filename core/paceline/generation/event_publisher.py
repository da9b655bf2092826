"""Publishes progress events: in order, in batches, and without delaying the work."""

import asyncio
import logging
from collections import deque

from paceline.contracts.events import Event, EventBus
from paceline.contracts.telemetry import Gauges
from paceline.errors import PacelineError
from paceline.tasks import start_background

log = logging.getLogger("paceline.events")

_BATCH = 500
#: Maximum number of events kept while the bus is unreachable. Older ones are dropped: every
#: claim starts with a snapshot, and a subscriber without events asks the store.
_MAX_WAITING = 20_000


class EventPublisher:
    """Publishes events with one background task per process."""

    def __init__(self, bus: EventBus, gauges: Gauges) -> None:
        self._bus = bus
        self._gauges = gauges
        self._waiting: deque[Event] = deque(maxlen=_MAX_WAITING)
        self._sending: asyncio.Task[None] | None = None
        self._failing = False

    def put(self, event: Event) -> None:
        """Publish an event soon, after the events before it."""
        self._waiting.append(event)
        if self._sending is None:
            self._sending = start_background(self._send())

    async def flush(self) -> None:
        """Wait until every event was passed to the bus, or the bus failed to accept it."""
        while self._sending is not None:
            await asyncio.wait({self._sending})

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                await self._publish(batch)
        finally:
            self._sending = None

    async def _publish(self, batch: list[Event]) -> None:
        try:
            await self._bus.publish(batch)
        except PacelineError as error:
            # Progress events may be lost: the store has the truth. Warn once per outage.
            if not self._failing:
                log.warning("progress events are lost: %s", error)
            self._failing = True
        else:
            self._failing = False
            self._gauges.events += len(batch)
