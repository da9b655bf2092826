"""The in-process executor: the store is the queue, any process may claim from it."""

import asyncio
import logging

from paceline.context import Context
from paceline.executor import Executor
from paceline.shutdown import serve_until_signalled
from paceline.worker import open_worker, reserve_connections, worker_records

log = logging.getLogger("paceline.worker")

NAME = "in-process"


class InProcess(Executor):
    """Works on queued runs on the event loop of one process.

    Args:
        concurrency: roadmaps at once.
        context: the process's context.
    """

    distributed = False

    def __init__(self, concurrency: int, context: Context) -> None:
        self.concurrency = concurrency
        self._context = context

    async def submit(self, run_id: str) -> None:
        """Nothing to do: a queued run's row is its place in the queue."""

    def serve(self, *, concurrency: int | None = None) -> int:
        """Claim and work on queued runs until SIGINT or SIGTERM."""
        return asyncio.run(self._serve(concurrency or self.concurrency))

    async def _serve(self, concurrency: int) -> int:
        settings, plugins = self._context.settings, self._context.plugins
        records = worker_records(settings, executor=NAME, concurrency=concurrency)
        limit, warning = await reserve_connections(settings, plugins, records)
        if warning:
            log.warning(warning)
        async with open_worker(settings, plugins, records[0], pool_limit=limit) as worker:
            log.info("worker %s is ready: %d roadmaps at once", records[0].worker_id, concurrency)
            return await serve_until_signalled(worker, worker.serve(NAME))
