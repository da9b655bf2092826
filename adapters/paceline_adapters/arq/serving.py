"""A worker process: takes runs from the queue and works on them until it is told to stop."""

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from arq.worker import func
from paceline import Context, PacelineError, PartUnavailable, WorkerLoad
from paceline.runtime.open_worker import open_worker, reserve_connections, worker_records
from paceline.runtime.recovery import queued_runs
from paceline.runtime.shutdown import serve_until_signalled
from paceline.runtime.worker import Worker
from paceline.tasks import cancel_and_wait

from paceline_adapters.arq.connection import UNREACHABLE, place, why
from paceline_adapters.arq.message import DROP, RUN
from paceline_adapters.arq.queue import Queue
from paceline_adapters.arq.taker import Drained, Taker, quiet_arq

if TYPE_CHECKING:
    from paceline_adapters.arq.plugin import ArqOptions

log = logging.getLogger("paceline.worker")

NAME = "arq"
#: Seconds between two signs of life in the queue.
BEAT = 5.0
#: Seconds between two comparisons of the store with the queue, over all workers.
COMPARE = 60.0
#: Seconds after which a run that could not be claimed is tried again.
AGAIN = 2.0
#: Seconds that the queue gets, in the end, to hear that jobs are done.
FAREWELL = 5.0


async def serve_queue(context: Context, options: "ArqOptions", concurrency: int) -> int:
    """Work on queued runs until SIGINT or SIGTERM.

    Args:
        context: the process's context.
        options: the executor's.
        concurrency: runs at once.

    Returns:
        The process's exit code.

    Raises:
        PartUnavailable: Redis or the store cannot be reached at the start.
    """
    quiet_arq()
    settings, plugins = context.settings, context.plugins
    queue = Queue(settings.redis, options.queue)
    try:
        await queue.check()
        records = worker_records(settings, executor=NAME, concurrency=concurrency)
        limit, warning = await reserve_connections(settings, plugins, records)
        if warning:
            log.warning(warning)
        async with open_worker(settings, plugins, records[0], pool_limit=limit) as worker:
            serving = Serving(worker, queue, options)
            log.info("worker %s is ready: %d roadmaps at once", records[0].worker_id, concurrency)
            return await serve_until_signalled(worker, asyncio.create_task(serving.serve()))
    finally:
        with suppress(*UNREACHABLE):
            await queue.close()


class Serving:
    """Puts a worker of ours behind a worker of arq.

    Args:
        worker: works on runs.
        queue: where they come from.
        options: the executor's.
    """

    def __init__(self, worker: Worker, queue: Queue, options: "ArqOptions") -> None:
        self.worker = worker
        self.queue = queue
        jobs: dict[str, Any] = {RUN: self._work, DROP: self._drop}
        self.taker = Taker(
            queue,
            [func(job, name=name, timeout=options.job_timeout) for name, job in jobs.items()],
            worker_id=worker.record.worker_id,
            max_jobs=worker.record.concurrency,
            poll_delay=options.poll_delay,
        )
        self._away = False

    async def serve(self) -> None:
        """Take jobs until the worker drains, and return when they have ended."""
        loop = asyncio.get_running_loop()
        taking = loop.create_task(self._take())
        tasks = {
            taking,
            loop.create_task(self._beat_for_ever()),
            loop.create_task(self._compare_for_ever()),
            loop.create_task(self.worker.until_draining()),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # Only a bug ends one of the others.
            for task in tasks:
                if task.done():
                    task.result()
            await self._finish(taking)
        finally:
            await cancel_and_wait(*tasks)
            with suppress(*UNREACHABLE):
                async with asyncio.timeout(FAREWELL):
                    await self.queue.unlist(self.worker.record.worker_id)

    async def _finish(self, taking: "asyncio.Task[None]") -> None:
        """Let the look at the queue that is under way end, and every job."""
        self.taker.allow_pick_jobs = False
        await asyncio.wait({taking}, timeout=FAREWELL)
        # How long a run may take to end is the worker's affair.
        while self.taker.job_tasks:
            await asyncio.wait(list(self.taker.job_tasks.values()))
            await asyncio.sleep(0)
        jobs = list(self.taker.tasks.values())
        if jobs:
            _, late = await asyncio.wait(jobs, timeout=FAREWELL)
            for task in late:
                task.cancel()
            # A Redis that is away did not hear of them: it will offer them in vain.
            await asyncio.gather(*jobs, return_exceptions=True)

    # -- jobs ----------------------------------------------------------------------------

    async def _work(self, _job: dict[str, Any], run_id: str) -> None:
        """Work on a run. It returns when the run has ended, or is somebody else's."""
        try:
            status = await self.worker.run(run_id)
        except PartUnavailable as error:
            log.warning("run %s waits: %s", run_id, error)
            await self._put_again(run_id, AGAIN)
            return
        except PacelineError as error:
            log.warning("run %s is not begun: %s", run_id, error)
            return
        if status is None and self.worker.draining:
            # Taken in the moment in which the signal came.
            await self._put_again(run_id, 0.0)

    async def _put_again(self, run_id: str, delay: float) -> None:
        try:
            await self.queue.put(run_id, delay=delay)
        except PartUnavailable as error:
            log.warning("run %s waits in the store: %s", run_id, error)

    async def _drop(self, _job: dict[str, Any], fault: str) -> None:
        log.warning("a message in queue %s is dropped: %s", self.queue.name, fault)

    # -- the queue -----------------------------------------------------------------------

    async def _take(self) -> None:
        """Look for jobs; where arq would end its worker because Redis is away, look on."""
        while self.taker.allow_pick_jobs:
            try:
                await self.taker.main()
            except Drained:
                return
            except UNREACHABLE as error:
                self._is_away(error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await self.worker.until_draining()

    async def _beat_for_ever(self) -> None:
        """Keep the jobs that are worked on, and tell what they are."""
        while True:
            self.taker.changed.clear()
            try:
                async with asyncio.timeout(BEAT):
                    await self._beat()
                if self._away:
                    self._away = False
                    log.info("%s is back", place(self.queue.settings))
            except UNREACHABLE as error:
                self._is_away(error)
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT):
                    await self.taker.changed.wait()

    async def _compare_for_ever(self) -> None:
        """See that the queue has what the store has queued; one worker at a time does.

        A Redis that was emptied is noticed at the next beat, as it forgot who compared.
        """
        parts = self.worker.parts
        while True:
            try:
                if await self.queue.is_first("compared", self.worker.record.worker_id, COMPARE):
                    async for run_id in queued_runs(parts.store, parts.settings):
                        await self.queue.restore(run_id)
            except UNREACHABLE as error:
                self._is_away(error)
            except PacelineError as error:
                log.warning("the queue was not compared with the store: %s", error)
            await asyncio.sleep(BEAT)

    async def _beat(self) -> None:
        job_ids = [job_id for job_id, task in self.taker.tasks.items() if not task.done()]
        load = WorkerLoad(
            name=self.worker.record.worker_id,
            active=tuple(sorted(self.queue.run_of(job_id) for job_id in job_ids)),
            reserved=(),
            concurrency=self.worker.record.concurrency,
        )
        await self.queue.hold(job_ids, load)

    def _is_away(self, error: BaseException) -> None:
        if not self._away:
            self._away = True
            where = place(self.queue.settings)
            log.warning("%s is away: %s; runs in work go on", where, why(error))
