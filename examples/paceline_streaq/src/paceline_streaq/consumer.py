"""streaQ's worker: it takes tasks while paceline's worker accepts runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import streaq
from anyio import CancelScope

from paceline_streaq.message import DROP, RUN

log = logging.getLogger("paceline.worker")


class Consumer(streaq.Worker[None]):
    """Takes as many tasks as runs may be in work, and starts a run for each.

    Args:
        arguments: what it has in common with clients of the queue.
        until_draining: returns when it shall take no more tasks.
        start: starts to generate a run.
    """

    def __init__(
        self,
        arguments: Mapping[str, Any],
        *,
        worker_id: str,
        concurrency: int,
        until_draining: Callable[[], Awaitable[None]],
        start: Callable[[str], "asyncio.Task[None]"],
    ) -> None:
        super().__init__(**arguments, id=worker_id, concurrency=concurrency)
        # streaQ adds at least one prefetched task, which other workers could not take.
        self.prefetch = concurrency
        self._until_draining = until_draining
        self._start = start
        self._ending = asyncio.Event()
        # A task is delivered again only if its worker died. The store limits how often a run
        # may lose its worker. Without a `ttl`, no results remain in Redis.
        options: dict[str, Any] = {"max_tries": None, "ttl": 0, "silent": True}
        self.task(name=RUN, **options)(self._run)
        self.task(name=DROP, **options)(self._drop)

    async def signal_handler(self, scope: CancelScope) -> None:
        """Called by streaQ beside its other work. paceline handles the signals."""
        try:
            await self._until_draining()
        except asyncio.CancelledError:
            self._ending.set()  # streaQ lost Redis and ends
            raise
        scope.cancel()  # take no more tasks, and wait for those that are in work

    async def _run(self, run_id: str) -> None:
        """Wait for a run, or for the end of this worker. Then the run continues without it.

        Redis delivers the task again, and the worker that gets it cannot claim the run.
        """
        ending = asyncio.create_task(self._ending.wait())
        try:
            await asyncio.wait({self._start(run_id), ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.cancel()

    async def _drop(self, fault: str) -> None:
        log.warning("dropped a message in queue %s: %s", self.queue_name, fault)
