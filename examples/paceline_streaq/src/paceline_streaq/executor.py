"""The executor: clients submit runs to a queue of streaQ, workers take them from it."""

from collections.abc import Sequence

from paceline import Context, Executor, WorkerLoad, run_stoppable

from paceline_streaq import StreaqOptions
from paceline_streaq.queue import Queue


class Streaq(Executor):
    """Sends runs to streaQ workers."""

    def __init__(self, options: StreaqOptions, context: Context) -> None:
        self.concurrency = options.concurrency
        self._options = options
        self._context = context
        self._queue = Queue(context.settings.redis, options)  # connects on first use

    async def submit(self, run_id: str) -> None:
        """Queue a run."""
        await self._queue.put(run_id)

    async def cancel(self, run_id: str) -> None:
        """Remove the tasks of a run from the queue."""
        await self._queue.remove([run_id])

    async def forget(self, run_ids: Sequence[str]) -> None:
        """Remove the tasks of runs that are being purged."""
        await self._queue.remove(set(run_ids))

    async def inspect(self) -> Sequence[WorkerLoad]:
        """What each worker holds. Workers take only tasks that they can start."""
        return await self._queue.loads()

    async def queued(self) -> int:
        """Number of tasks that no worker has taken."""
        return await self._queue.waiting()

    async def check(self) -> str:
        """Count the tasks in the queue."""
        return f"Redis answers; {await self.queued()} tasks in {self._options.queue}"

    def serve(self, *, concurrency: int | None = None) -> int:
        """Generate queued runs until a signal stops the process, on one event loop."""
        from paceline_streaq.serving import serve_queue

        return run_stoppable(
            serve_queue(self._context, self._options, concurrency or self.concurrency)
        )

    async def close(self) -> None:
        """Disconnect from Redis."""
        await self._queue.close()
