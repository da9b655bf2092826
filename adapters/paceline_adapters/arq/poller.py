"""arq's worker, with another way to take jobs, which survives an outage of Redis."""

import asyncio
import logging
import warnings
from typing import Any

from arq.worker import Function, Worker

from paceline_adapters.arq.message import decode, encode
from paceline_adapters.arq.queue import HOLD, Queue

#: Maximum deliveries of one job. A job is redelivered only if a worker died before it claimed
#: the run. The store limits how often a run may lose its owner.
_DELIVERIES = 5


class Drained(Exception):
    """The poller stops because the worker drains."""


class JobPoller(Worker):
    """Polls the queue, takes as many jobs as it may run at once, and starts them.

    arq's own way to take a job has four faults. It costs three round trips. It reads past
    every job in progress, so that an idle worker finds no job behind a few hundred of them. It
    keeps the job of a dead worker for the whole ``job_timeout``. And each Redis error costs it
    a slot for good.

    Args:
        poll_delay: seconds between two polls.
    """

    def __init__(
        self,
        queue: Queue,
        functions: list[Function],
        *,
        worker_id: str,
        max_jobs: int,
        poll_delay: float,
    ) -> None:
        with warnings.catch_warnings():
            # Older arq calls a function of asyncio that newer Python versions deprecate.
            warnings.simplefilter("ignore", DeprecationWarning)
            super().__init__(
                functions,
                queue_name=queue.name,
                redis_pool=queue.client,
                handle_signals=False,
                max_jobs=max_jobs,
                poll_delay=poll_delay,
                keep_result=0,
                max_tries=_DELIVERIES,
                retry_jobs=False,
                health_check_interval=10,
                job_serializer=encode,
                job_deserializer=decode,
                log_results=False,
            )
        self._queue = queue
        self._worker_id = worker_id
        self.in_progress_timeout_s = HOLD
        #: Set whenever a job starts or ends.
        self.changed = asyncio.Event()

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start waiting jobs that no other worker has taken, up to ``max_jobs``."""
        for raw in job_ids:
            if self.job_counter >= self.max_jobs:
                return
            job_id = raw.decode()
            if job_id in self.tasks:
                continue  # our own job: its hold expired while Redis was unreachable
            due = await self._queue.take(job_id, self._worker_id)
            if due is None:
                continue
            self.job_counter += 1
            task = self.loop.create_task(self.run_job(job_id, due))
            task.add_done_callback(self._ended)
            self.tasks[job_id] = task
            self.changed.set()

    def _ended(self, _task: "asyncio.Task[Any]") -> None:
        self.job_counter -= 1
        self.changed.set()

    async def main(self) -> None:
        """Poll until the worker drains.

        arq's own begins with commands that an ordinary user of a hosted Redis may not run.
        """
        self.ctx["redis"] = self.pool
        while True:
            await self._poll_iteration()
            await asyncio.sleep(self.poll_delay_s)

    async def finish_job(self, job_id: str, *_args: Any, **_named: Any) -> None:
        """Called by arq after a job. Its own also uses a key without our prefix."""
        await self._queue.remove(job_id)

    async def finish_failed_job(self, job_id: str, *_args: Any, **_named: Any) -> None:
        """Called by arq for a job that is not one of ours."""
        await self._queue.remove(job_id)

    async def heart_beat(self) -> None:
        """Called by arq after each poll."""
        if not self.allow_pick_jobs:
            raise Drained
        await super().heart_beat()


def quiet_arq() -> None:
    """Hide arq's log lines about each job, which repeat ours.

    Errors are still logged. If the logger ``arq`` has a level already, that level stays.
    """
    log = logging.getLogger("arq")
    if log.level == logging.NOTSET:
        log.setLevel(logging.ERROR)
