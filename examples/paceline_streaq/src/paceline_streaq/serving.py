"""A worker process: takes runs from the queue and generates them until a signal ends it."""

import asyncio
import logging
from contextlib import suppress

from paceline import Context, PacelineError, PartUnavailable, RedisSettings, RunWorker, WorkerLoad

from paceline_streaq import StreaqOptions
from paceline_streaq.connection import UNREACHABLE, first_error, worker_arguments
from paceline_streaq.consumer import Consumer
from paceline_streaq.queue import Queue

log = logging.getLogger("paceline.worker")

#: Seconds between two comparisons of the store with the queue, by any worker.
COMPARE = 60.0
#: Seconds between two looks whether it is time for a comparison.
_LOOK = 5.0
#: Seconds after which a run that could not be claimed is queued again.
_RETRY_DELAY = 2.0
#: Seconds after which a worker that lost Redis connects again.
_RECONNECT = 1.0


async def serve_queue(context: Context, options: StreaqOptions, concurrency: int) -> int:
    """Generate queued runs until a signal stops the process.

    Returns:
        The process's exit code.

    Raises:
        PartUnavailable: Redis or the store cannot be reached at the start.
        PartRejected: Redis rejects the user.
    """
    redis = context.settings.redis
    queue = Queue(redis, options)
    try:
        await queue.waiting()  # an unreachable Redis is an error only at the start
        async with context.host().worker(concurrency=concurrency) as worker:
            serving = Serving(worker, queue, redis, options)
            log.info(
                "worker %s is ready: %d roadmaps at once", worker.record.worker_id, concurrency
            )
            return await worker.serve_until_signalled(asyncio.create_task(serving.serve()))
    finally:
        await queue.close()


class Serving:
    """Connects a paceline worker to a consumer of streaQ's queue."""

    def __init__(
        self, worker: RunWorker, queue: Queue, redis: RedisSettings, options: StreaqOptions
    ) -> None:
        self._worker = worker
        self._queue = queue
        self._arguments = worker_arguments(redis, options)
        self._slots = asyncio.Semaphore(worker.record.concurrency)
        self._runs: dict[asyncio.Task[None], str] = {}
        self._changed = asyncio.Event()
        self._unreachable = False

    async def serve(self) -> None:
        """Take tasks until the worker drains, and return when their runs have ended."""
        beside = {
            asyncio.create_task(self._publish_for_ever()),
            asyncio.create_task(self._compare_for_ever()),
        }
        try:
            await self._consume()
            if self._runs:
                await asyncio.wait(self._runs)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)
            with suppress(PacelineError):
                await self._queue.unlist(self._worker.record.worker_id)

    async def _consume(self) -> None:
        """Run streaQ's worker. It ends when it loses Redis; then start another one."""
        while not self._worker.draining:
            consumer = Consumer(
                self._arguments,
                worker_id=self._worker.record.worker_id,
                concurrency=self._worker.record.concurrency,
                until_draining=self._worker.until_draining,
                start=self._start,
            )
            try:
                await consumer.run_async()
            except* UNREACHABLE as errors:
                self._warn_once(first_error(errors))
                with suppress(TimeoutError):
                    async with asyncio.timeout(_RECONNECT):
                        await self._worker.until_draining()

    # -- runs ----------------------------------------------------------------------------

    def _start(self, run_id: str) -> "asyncio.Task[None]":
        """Start to generate a run. It continues if streaQ's worker loses Redis."""
        run = asyncio.create_task(self._run(run_id))
        self._runs[run] = run_id
        self._changed.set()
        run.add_done_callback(self._ended)
        return run

    def _ended(self, run: "asyncio.Task[None]") -> None:
        del self._runs[run]
        self._changed.set()

    async def _run(self, run_id: str) -> None:
        try:
            async with self._slots:
                status = await self._worker.run(run_id)
        except PartUnavailable as error:
            log.warning(
                "cannot claim run %s: %s; trying again in %g s", run_id, error, _RETRY_DELAY
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_DELAY):
                    await self._worker.until_draining()
            await self._put_again(run_id)
        except PacelineError as error:
            log.warning("cannot start run %s: %s", run_id, error)
        else:
            if status is None and self._worker.draining:
                # The task was taken at the moment when the signal arrived.
                await self._put_again(run_id)

    async def _put_again(self, run_id: str) -> None:
        try:
            await self._queue.put(run_id)
        except PacelineError as error:
            log.warning("run %s waits in the store: %s", run_id, error)

    # -- the queue -----------------------------------------------------------------------

    async def _publish_for_ever(self) -> None:
        """Publish what this worker holds, at the start and after each change."""
        while True:
            self._changed.clear()
            load = WorkerLoad(
                name=self._worker.record.worker_id,
                active=tuple(sorted(set(self._runs.values()))),
                reserved=(),
                concurrency=self._worker.record.concurrency,
            )
            try:
                await self._queue.publish(load)
            except PacelineError as error:
                self._warn_once(error)
            else:
                self._reachable()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._changed.wait()

    async def _compare_for_ever(self) -> None:
        """Queue what the store has as queued and the queue lacks. One worker at a time does it.

        A flushed Redis is noticed within seconds, because the flush also deletes the record of
        the last comparison.
        """
        while True:
            try:
                if await self._queue.is_first("compared", COMPARE):
                    known = await self._queue.run_ids()
                    async for run_id in self._worker.queued_runs():
                        if run_id not in known:
                            await self._queue.put(run_id)
            except PacelineError as error:
                log.warning("cannot compare the queue with the store: %s", error)
            await asyncio.sleep(_LOOK)

    def _warn_once(self, error: BaseException) -> None:
        """Log the first error of an outage of Redis."""
        if not self._unreachable:
            self._unreachable = True
            log.warning("%s is unreachable: %s; runs in work continue", self._queue.place, error)

    def _reachable(self) -> None:
        if self._unreachable:
            self._unreachable = False
            log.info("%s is reachable again", self._queue.place)
