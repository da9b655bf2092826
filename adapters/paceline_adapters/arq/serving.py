"""A worker process: takes runs from the queue and generates them until a signal ends it."""

import asyncio
import logging
from contextlib import suppress
from typing import Any

from arq.worker import func
from paceline import Context, PacelineError, PartUnavailable, WorkerLoad
from paceline.contracts.worker import RunWorker
from paceline.tasks import cancel_and_wait

from paceline_adapters.arq.connection import UNREACHABLE
from paceline_adapters.arq.message import DROP, RUN
from paceline_adapters.arq.options import ArqOptions
from paceline_adapters.arq.poller import Drained, JobPoller, quiet_arq
from paceline_adapters.arq.queue import Queue
from paceline_adapters.redis.errors import reason

log = logging.getLogger("paceline.worker")

#: Seconds between two heartbeats in the queue.
BEAT = 5.0
#: Seconds between two comparisons of the store with the queue, by any worker.
COMPARE = 60.0
#: Seconds after which a run that could not be claimed is queued again.
RETRY_DELAY = 2.0
#: Maximum number of seconds to report finished jobs to Redis before the process exits.
EXIT_TIMEOUT = 5.0


async def serve_queue(context: Context, options: ArqOptions, concurrency: int) -> int:
    """Generate queued runs until a signal stops the process.

    Returns:
        The process's exit code.

    Raises:
        PartUnavailable: Redis or the store cannot be reached at the start.
        PartRejected: Redis rejects the user or the keys.
    """
    quiet_arq()
    queue = Queue(context.settings.redis, options.queue)
    try:
        await queue.check()
        async with context.host().worker(concurrency=concurrency) as worker:
            serving = Serving(worker, queue, options)
            log.info(
                "worker %s is ready: %d roadmaps at once", worker.record.worker_id, concurrency
            )
            return await worker.serve_until_signalled(asyncio.create_task(serving.serve()))
    finally:
        with suppress(*UNREACHABLE):
            await queue.close()


class Serving:
    """Connects a paceline worker to a poller of arq's queue."""

    def __init__(self, worker: RunWorker, queue: Queue, options: ArqOptions) -> None:
        self.worker = worker
        self.queue = queue
        jobs: dict[str, Any] = {RUN: self._work, DROP: self._drop}
        self.poller = JobPoller(
            queue,
            [func(job, name=name, timeout=options.job_timeout) for name, job in jobs.items()],
            worker_id=worker.record.worker_id,
            max_jobs=worker.record.concurrency,
            poll_delay=options.poll_delay,
        )
        self._unreachable = False

    async def serve(self) -> None:
        """Take jobs until the worker drains, and return when they have ended."""
        loop = asyncio.get_running_loop()
        polling = loop.create_task(self._poll())
        tasks = {
            polling,
            loop.create_task(self._beat_for_ever()),
            loop.create_task(self._compare_for_ever()),
            loop.create_task(self.worker.until_draining()),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # Without a bug, only the last of them can end.
            for task in tasks:
                if task.done():
                    task.result()
            await self._finish(polling)
        finally:
            await cancel_and_wait(*tasks)
            with suppress(*UNREACHABLE):
                async with asyncio.timeout(EXIT_TIMEOUT):
                    await self.queue.unlist(self.worker.record.worker_id)

    async def _finish(self, polling: "asyncio.Task[None]") -> None:
        """Let the current poll and every job end."""
        self.poller.allow_pick_jobs = False
        await asyncio.wait({polling}, timeout=EXIT_TIMEOUT)
        # There is no timeout here, because the worker limits how long its runs may take to end.
        while self.poller.job_tasks:
            await asyncio.wait(list(self.poller.job_tasks.values()))
            await asyncio.sleep(0)
        jobs = list(self.poller.tasks.values())
        if jobs:
            _, late = await asyncio.wait(jobs, timeout=EXIT_TIMEOUT)
            for task in late:
                task.cancel()
            # An unreachable Redis did not learn that they ended. It redelivers them, and the
            # worker that gets them ignores them.
            await asyncio.gather(*jobs, return_exceptions=True)

    # -- jobs ----------------------------------------------------------------------------

    async def _work(self, _job: dict[str, Any], run_id: str) -> None:
        """Generate a run. Returns when it has ended, or at once if it has another owner."""
        try:
            status = await self.worker.run(run_id)
        except PartUnavailable as error:
            log.warning("cannot claim run %s: %s; trying again in %g s", run_id, error, RETRY_DELAY)
            await self._put_again(run_id, RETRY_DELAY)
            return
        except PacelineError as error:
            log.warning("cannot start run %s: %s", run_id, error)
            return
        if status is None and self.worker.draining:
            # The job was taken at the moment when the signal arrived.
            await self._put_again(run_id, 0.0)

    async def _put_again(self, run_id: str, delay: float) -> None:
        try:
            await self.queue.put(run_id, delay=delay)
        except PartUnavailable as error:
            log.warning("run %s waits in the store: %s", run_id, error)

    async def _drop(self, _job: dict[str, Any], fault: str) -> None:
        log.warning("dropped a message in queue %s: %s", self.queue.name, fault)

    # -- the queue -----------------------------------------------------------------------

    async def _poll(self) -> None:
        """Poll for jobs. If Redis is unreachable, arq's worker would end, and this one retries."""
        while self.poller.allow_pick_jobs:
            try:
                await self.poller.main()
            except Drained:
                return
            except UNREACHABLE as error:
                self._warn_once(error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await self.worker.until_draining()

    async def _beat_for_ever(self) -> None:
        """Keep the hold on jobs in progress, and publish what they are."""
        while True:
            self.poller.changed.clear()
            try:
                async with asyncio.timeout(BEAT):
                    await self._beat()
                if self._unreachable:
                    self._unreachable = False
                    log.info("%s is reachable again", self.queue.place)
            except UNREACHABLE as error:
                self._warn_once(error)
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT):
                    await self.poller.changed.wait()

    async def _compare_for_ever(self) -> None:
        """Queue what the store has as queued and the queue lacks. One worker at a time does it.

        A flushed Redis is noticed within one heartbeat, because the flush also deletes the
        record of the last comparison.
        """
        while True:
            try:
                if await self.queue.is_first("compared", self.worker.record.worker_id, COMPARE):
                    async for run_id in self.worker.queued_runs():
                        await self.queue.restore(run_id)
            except UNREACHABLE as error:
                self._warn_once(error)
            except PacelineError as error:
                log.warning("cannot compare the queue with the store: %s", error)
            await asyncio.sleep(BEAT)

    async def _beat(self) -> None:
        job_ids = [job_id for job_id, task in self.poller.tasks.items() if not task.done()]
        load = WorkerLoad(
            name=self.worker.record.worker_id,
            active=tuple(sorted(self.queue.run_of(job_id) for job_id in job_ids)),
            reserved=(),
            concurrency=self.worker.record.concurrency,
        )
        await self.queue.hold(job_ids, load)

    def _warn_once(self, error: BaseException) -> None:
        """Log the first error of an outage of Redis."""
        if not self._unreachable:
            self._unreachable = True
            log.warning(
                "%s is unreachable: %s; runs in work continue", self.queue.place, reason(error)
            )
