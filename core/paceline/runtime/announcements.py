"""Announcements that something was requested: a worker then beats at once.

They are events of a stream that belongs to no run, on the bus that carries the events of runs. A
lost announcement only means that the next regular beat brings the request.
"""

import asyncio
import logging
import random
from contextlib import aclosing, suppress

from paceline.contracts.events import Event, EventBus
from paceline.errors import PacelineError
from paceline.tasks import cancel_and_wait

log = logging.getLogger("paceline.worker")

#: Name of the stream. It is not the id of a run, which has no colon.
STREAM = "paceline:controls"
#: Maximum number of seconds between an announcement and the beat. Many workers receive it at once,
#: and their beats must not reach the database together.
SPREAD = 0.2


async def announce(bus: EventBus) -> None:
    """Make all workers on a bus beat soon. A fault of the bus is not an error."""
    changed = Event(
        type="content_generation_note",
        task_id=STREAM,
        roadmap_id="",
        status="changed",
        progress_current=0,
        progress_total=0,
    )
    with suppress(PacelineError):
        await bus.publish([changed])


class Announcements:
    """Receives announcements within ``async with``."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._announced = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Announcements":
        self._listening = asyncio.get_running_loop().create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listening is not None:
            await cancel_and_wait(self._listening)

    async def wait(self, seconds: float) -> None:
        """Wait for this time, or until shortly after an announcement."""
        # `wait_for` of Python 3.11 loses a cancellation that arrives as the wait ends.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._announced.wait()
                await asyncio.sleep(random.uniform(0, SPREAD))  # noqa: S311
        self._announced.clear()

    async def _listen(self) -> None:
        try:
            async with aclosing(self._bus.subscribe(STREAM)) as announcements:
                async for _ in announcements:
                    self._announced.set()
        except Exception as error:  # noqa: BLE001
            # The bus may be a plugin. Without announcements, requests arrive a little later.
            log.debug("announcements are not received, so requests arrive with a beat: %s", error)
