"""The arq executor: clients submit runs to a queue in Redis, workers take them from it."""

from collections.abc import Sequence

from paceline import Context, Executor, Finding, WorkerLoad
from paceline.contracts.finding import ascending
from paceline.process.stoppable import run_stoppable

from paceline_adapters.arq.options import ArqOptions
from paceline_adapters.arq.queue import Queue
from paceline_adapters.arq.serving import serve_queue


class Arq(Executor):
    """Sends runs to arq workers."""

    def __init__(self, options: ArqOptions, context: Context) -> None:
        self.concurrency = options.max_jobs
        self._options = options
        self._context = context
        self._opened: Queue | None = None

    async def submit(self, run_id: str) -> None:
        """Queue a run. A run that is waiting already keeps its position."""
        await self._queue().put(run_id)

    async def cancel(self, run_id: str) -> None:
        """Remove a waiting run from the queue."""
        await self._queue().withdraw(run_id)

    async def forget(self, run_ids: Sequence[str]) -> None:
        """Remove the jobs of runs and the counters of their jobs."""
        for run_id in run_ids:
            await self._queue().forget(run_id)

    async def inspect(self) -> Sequence[WorkerLoad]:
        """What each worker holds. arq takes only jobs that it can start, so none is reserved."""
        return await self._queue().loads()

    async def queued(self) -> int:
        """Number of runs that no worker has taken."""
        return await self._queue().waiting()

    async def check(self) -> str:
        """Pass a job through a queue of its own, and count those that wait in the queue."""
        await self._queue().check()
        return f"Redis answers; {await self.queued()} jobs in {self._options.queue}"

    def findings(self) -> Sequence[Finding]:
        """Check that the deadline, which stops a run cleanly, is below arq's own limit."""
        deadline = self._context.settings.run.deadline
        times = [("run.deadline", deadline), ("job_timeout", self._options.job_timeout)]
        return [ascending("executor arq", times)]

    def serve(self, *, concurrency: int | None = None) -> int:
        """Generate queued runs until a signal stops the process, on one event loop."""
        return run_stoppable(
            serve_queue(self._context, self._options, concurrency or self.concurrency)
        )

    async def close(self) -> None:
        """Disconnect from Redis."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()

    def _queue(self) -> Queue:
        # Created on first use, because a connection belongs to one event loop.
        if self._opened is None:
            self._opened = Queue(self._context.settings.redis, self._options.queue)
        return self._opened
