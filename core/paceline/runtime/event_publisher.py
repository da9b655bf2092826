"""The way of events to the bus: in order, in batches, never in the way of the work."""

import asyncio
import logging
from collections import deque

from paceline.contracts.events import Event, EventBus
from paceline.contracts.telemetry import Gauges
from paceline.errors import PacelineError
from paceline.tasks import start_background

log = logging.getLogger("paceline.events")

_BATCH = 500
#: Events kept while the bus is away. Beyond that the oldest go: the offsets tell nobody of
#: them, but every claim opens with a snapshot and a silent subscriber asks the store.
_KEPT = 20_000


class EventPublisher:
    """Publishes what is put into it, by one task per process."""

    def __init__(self, bus: EventBus, gauges: Gauges) -> None:
        self._bus = bus
        self._gauges = gauges
        self._waiting: deque[Event] = deque(maxlen=_KEPT)
        self._sending: asyncio.Task[None] | None = None
        self._away = False

    def put(self, event: Event) -> None:
        """Publish an event soon, after those before it."""
        self._waiting.append(event)
        if self._sending is None:
            self._sending = start_background(self._send())

    async def flush(self) -> None:
        """Wait until everything was handed to the bus, or the bus failed to take it."""
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
            # Progress is told, not kept: the store knows the truth. Say so once per outage.
            if not self._away:
                log.warning("progress events are lost: %s", error)
            self._away = True
        else:
            self._away = False
            self._gauges.events += len(batch)
