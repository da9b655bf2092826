"""The in-process executor: the store is the queue, any process may claim from it."""

import asyncio

from paceline import Context, Executor
from paceline.runtime.serving import serve_from_store

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
        return asyncio.run(serve_from_store(self._context, NAME, concurrency or self.concurrency))
