"""The in-process executor: the store is the queue, and any process may claim runs from it."""

import asyncio
import logging

from paceline import Context, Executor
from paceline.process.stoppable import run_stoppable

log = logging.getLogger("paceline.worker")


class InProcess(Executor):
    """Generates queued runs on the event loop of one process."""

    distributed = False

    def __init__(self, concurrency: int, context: Context) -> None:
        self.concurrency = concurrency
        self._context = context

    async def submit(self, run_id: str) -> None:
        """Do nothing: the row of a queued run in the store is its message."""

    def serve(self, *, concurrency: int | None = None) -> int:
        """Claim and generate queued runs until a signal stops the process."""
        return run_stoppable(self._serve(concurrency or self.concurrency))

    async def _serve(self, concurrency: int) -> int:
        async with self._context.host().worker(concurrency=concurrency) as worker:
            log.info(
                "worker %s is ready: %d roadmaps at once", worker.record.worker_id, concurrency
            )
            return await worker.serve_until_signalled(asyncio.create_task(worker.serve()))
