"""The arq executor: a queue in Redis between those who submit and the workers."""

import asyncio
from collections.abc import Sequence

from paceline import Context, Executor, Finding, WorkerLoad
from paceline.contracts.finding import ascending

from paceline_adapters.arq.plugin import ArqOptions
from paceline_adapters.arq.queue import Queue
from paceline_adapters.arq.serving import serve_queue


class Arq(Executor):
    """Hands runs to arq workers.

    Args:
        options: as the settings give them.
        context: the process's context.
    """

    def __init__(self, options: ArqOptions, context: Context) -> None:
        self.concurrency = options.max_jobs
        self._options = options
        self._context = context
        self._opened: Queue | None = None

    async def submit(self, run_id: str) -> None:
        """Queue a run; one that is waiting already stays where it is.

        Raises:
            PartUnavailable: Redis cannot be reached.
        """
        await self._queue().put(run_id)

    async def cancel(self, run_id: str) -> None:
        """Take a waiting run out of the queue.

        Raises:
            PartUnavailable: Redis cannot be reached.
        """
        await self._queue().take_back(run_id)

    async def inspect(self) -> Sequence[WorkerLoad]:
        """What each worker holds; nothing is ever reserved, as arq takes what it can begin."""
        return await self._queue().loads()

    async def queued(self) -> int:
        """How many runs no worker has taken."""
        return await self._queue().waiting()

    async def check(self) -> str:
        """Reach Redis: how many jobs wait in the queue."""
        return f"Redis answers; {await self.queued()} jobs in {self._options.queue}"

    def findings(self) -> Sequence[Finding]:
        """Arq's own limit comes after the deadline, which stops a run tidily."""
        deadline = self._context.settings.run.deadline
        times = [("run.deadline", deadline), ("job_timeout", self._options.job_timeout)]
        return [ascending("executor arq", times)]

    def serve(self, *, concurrency: int | None = None) -> int:
        """Work on queued runs until SIGINT or SIGTERM, on one event loop."""
        return asyncio.run(
            serve_queue(self._context, self._options, concurrency or self.concurrency)
        )

    async def close(self) -> None:
        """Disconnect from Redis."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()

    def _queue(self) -> Queue:
        # Made where it is used first: a connection belongs to one event loop.
        if self._opened is None:
            self._opened = Queue(self._context.settings.redis, self._options.queue)
        return self._opened
