"""arq's worker, with a grip that outlasts what Redis may do meanwhile."""

import asyncio
import logging
import warnings
from typing import Any

from arq.worker import Function, Worker

from paceline_adapters.arq.message import decode, encode
from paceline_adapters.arq.queue import HOLD, Queue

#: Deliveries of one job. It comes again only where a worker died before it claimed the run;
#: how often a run may lose its owner is counted by the store.
_DELIVERIES = 5


class Drained(Exception):
    """No more jobs are looked for."""


class Taker(Worker):
    """Looks for jobs, takes as many as it may work on, and starts them.

    Ours is how a job is taken. arq's way costs three round trips, reads past every job in
    progress (with a few hundred of them an idle worker finds nothing), keeps a dead worker's
    job for the whole of ``job_timeout``, and loses a slot for good at each error of Redis.

    Args:
        queue: where jobs lie.
        functions: what jobs may ask for.
        worker_id: who takes them.
        max_jobs: jobs at once.
        poll_delay: seconds between two looks.
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
            # Older arq asks asyncio what newer Pythons want to be asked elsewhere.
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
        #: Set whenever a job begins or ends.
        self.changed = asyncio.Event()

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start those of the waiting jobs that no other worker takes, up to ``max_jobs``."""
        for raw in job_ids:
            if self.job_counter >= self.max_jobs:
                return
            job_id = raw.decode()
            if job_id in self.tasks:
                continue  # ours, and due again while Redis was away
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

    async def heart_beat(self) -> None:
        """Called by arq after each look."""
        if not self.allow_pick_jobs:
            raise Drained
        await super().heart_beat()


def quiet_arq() -> None:
    """Leave the log to us: arq's own lines say the same of each job again.

    Errors still show, and whoever sets a level for the logger ``arq`` gets it.
    """
    log = logging.getLogger("arq")
    if log.level == logging.NOTSET:
        log.setLevel(logging.ERROR)
