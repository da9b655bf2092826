"""All sinks of one process."""

import asyncio
import logging
from collections.abc import Sequence

from paceline.contracts.storage.store import Store
from paceline.delivery.courier import Courier
from paceline.errors import PacelineError
from paceline.tasks import cancel_and_wait, start_background
from paceline.text import count

log = logging.getLogger("paceline.sinks")

#: Maximum number of seconds in which a process that ends delivers what is due.
FLUSH = 10.0


class Couriers:
    """The couriers of one process, each with a task of its own."""

    def __init__(self, store: Store, couriers: Sequence[Courier]) -> None:
        self._store = store
        self._couriers = couriers
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Deliver from now on, and at once what this process commits."""
        if self._couriers:
            self._store.on_outgoing(self._wake)
            self._tasks = [start_background(courier.run()) for courier in self._couriers]

    def _wake(self) -> None:
        for courier in self._couriers:
            courier.wake()

    async def stop(self, grace: float) -> None:
        """End the batches in progress, within ``grace`` seconds, and close the sinks.

        What is cut off is delivered again by another worker, when its lease has expired.
        """
        if not self._couriers:
            return
        self._store.off_outgoing(self._wake)
        for courier in self._couriers:
            courier.stop()
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=grace)
            await cancel_and_wait(*unfinished)
        await asyncio.gather(*(courier.close() for courier in self._couriers))

    async def flush(self, seconds: float) -> None:
        """Deliver what is due, for at most ``seconds``; say what still waits."""
        if not self._couriers:
            return
        for courier in self._couriers:
            courier.stop()
        flushing = [asyncio.ensure_future(self._flush(one)) for one in self._couriers]
        _, unfinished = await asyncio.wait(flushing, timeout=seconds)
        await cancel_and_wait(*unfinished)
        try:
            figures = await self._store.sink_figures()
        except PacelineError as error:
            log.debug("cannot count what waits for sinks: %s", error)
            return
        for one in figures:
            if one.waiting:
                log.warning(
                    "%s for sink %s; a worker or `paceline sinks deliver` delivers what waits%s",
                    f"{count(one.waiting, 'delivery waits', 'deliveries wait')}",
                    one.sink,
                    f" ({one.reason})" if one.reason else "",
                )

    async def _flush(self, courier: Courier) -> None:
        index = self._couriers.index(courier)
        if index < len(self._tasks):
            await asyncio.wait({self._tasks[index]})  # its batch in progress
        await courier.flush()
