"""The in-process executor: the store is the queue, and any process may claim runs from it."""

import asyncio

from paceline.context import Context
from paceline.executor import Executor
from paceline.serving import serve_from_store

NAME = "in-process"


class InProcess(Executor):
    """Generates queued runs on the event loop of one process.

    Args:
        concurrency: maximum number of roadmaps at once.
        context: the process's context.
    """

    distributed = False

    def __init__(self, concurrency: int, context: Context) -> None:
        self.concurrency = concurrency
        self._context = context

    async def submit(self, run_id: str) -> None:
        """Do nothing: the row of a queued run in the store is its message."""

    def serve(self, *, concurrency: int | None = None) -> int:
        """Claim and generate queued runs until SIGINT or SIGTERM."""
        return asyncio.run(serve_from_store(self._context, NAME, concurrency or self.concurrency))
