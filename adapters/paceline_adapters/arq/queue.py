"""The queue, for clients and for workers: submit runs, withdraw them, take them, count them.

arq keeps a sorted set of job ids, ordered by the time at which they are due. Beside it, there
is one key per job with its message, and one key per job in progress. While a run is in work,
its job is due in the future. A worker that polls therefore reads waiting jobs only, and the
job of a dead worker becomes due by itself.
"""

import json
import secrets
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, NamedTuple

from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix, retry_key_prefix
from arq.utils import timestamp_ms
from paceline import RedisSettings, WorkerLoad
from pydantic import TypeAdapter, ValidationError

from paceline_adapters.arq.connection import answering, connect
from paceline_adapters.arq.message import RUN
from paceline_adapters.redis.pool import place_of

#: Seconds after which a job in progress is due again if its worker stops renewing its hold.
HOLD = 30.0
#: Seconds that a worker is listed after its last heartbeat.
LISTED = 15.0
#: Seconds until the counter of a run's jobs expires: longer than any of its jobs.
_COUNTED = 90 * 24 * 3600
#: A job that is due within this many seconds is waiting. A job in progress is due much later.
_WAITING_WITHIN = 5.0

_load = TypeAdapter(WorkerLoad)

# One atomic step, so that a job is never both in progress and due. If the reply is lost and
# the holder repeats its request, it gets the job again.
_TAKE = """
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score or tonumber(score) > tonumber(ARGV[3]) then return false end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[2] then return false end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4])
redis.call('ZADD', KEYS[1], 'XX', ARGV[3] + ARGV[4], ARGV[1])
return score
"""


class Job(NamedTuple):
    """The newest job of a run, and whether a worker has taken it."""

    job_id: str
    state: Literal["missing", "waiting", "taken"]


class Queue:
    """One queue in Redis."""

    def __init__(self, settings: RedisSettings, name: str, client: ArqRedis | None = None) -> None:
        self.settings = settings
        self.name = f"{settings.prefix}:arq:{name}"
        self.client = client or connect(settings)
        self.place = place_of(self.client.connection_pool)
        # redis-py gives its commands one type for sync and async use.
        self._redis: Any = self.client
        self._take = self._redis.register_script(_TAKE)

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose(close_connection_pool=True)

    async def check(self) -> None:
        """Do once, in a queue of its own, all that clients and workers do.

        Raises:
            PartUnavailable: Redis cannot be reached.
            PartRejected: it rejects the user, or the keys.
        """
        run_id = secrets.token_hex(4)
        probe = Queue(self.settings, f"doctor-{run_id}", self.client)
        load = WorkerLoad(name=run_id, active=(), reserved=(), concurrency=1)
        await probe.put(run_id)
        async with self._answering():
            job_id = (await probe.newest_job(run_id)).job_id
            try:
                await probe.take(job_id, run_id)
                await probe.hold([job_id], load)
            finally:
                await probe.unlist(run_id)
                await probe.remove(job_id)
                await self._redis.delete(probe.counter(run_id))

    def _answering(self) -> AbstractAsyncContextManager[None]:
        return answering(self.place, self.settings.timeout)

    # -- submitting ----------------------------------------------------------------------

    async def put(self, run_id: str, *, delay: float = 0.0) -> None:
        """Queue a run, unless one of its jobs is waiting.

        Each job gets a new id. arq ignores a job with an id that it knows already, and the id
        of a killed worker's job stays known. A job in progress does not prevent a new one: it
        may be about to end after handing its run back.

        Args:
            run_id: the run.
            delay: seconds until the job is due.

        Raises:
            PartUnavailable: Redis cannot be reached.
        """
        async with self._answering():
            if (await self.newest_job(run_id)).state != "waiting":
                await self._enqueue(run_id, delay)

    async def restore(self, run_id: str) -> None:
        """Queue a run that has no job in the queue. Raises as ``put``.

        A job in progress prevents a new one here: its worker is about to claim the run. If
        that worker died, the job becomes due again by itself.
        """
        async with self._answering():
            if (await self.newest_job(run_id)).state == "missing":
                await self._enqueue(run_id, 0.0)

    async def withdraw(self, run_id: str) -> None:
        """Remove the waiting job of a run, if there is one. Raises as ``put``."""
        async with self._answering():
            job = await self.newest_job(run_id)
            if job.state == "waiting":
                await self.remove(job.job_id)

    async def forget(self, run_id: str) -> None:
        """Remove every job of a run, and the counter of its jobs. Raises as ``put``."""
        async with self._answering():
            jobs = int(await self._redis.get(self.counter(run_id)) or 0)
            for number in range(1, jobs + 1):
                await self.remove(self._job_id(run_id, number))
            await self._redis.delete(self.counter(run_id))

    async def _enqueue(self, run_id: str, delay: float) -> None:
        job = None
        while job is None:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.incr(self.counter(run_id))
                pipe.expire(self.counter(run_id), _COUNTED)
                number = (await pipe.execute())[0]
            job = await self._redis.enqueue_job(
                RUN,
                run_id,
                _job_id=self._job_id(run_id, number),
                _queue_name=self.name,
                _defer_by=delay or None,
            )

    async def newest_job(self, run_id: str) -> "Job":
        """The newest job of a run."""
        number = int(await self._redis.get(self.counter(run_id)) or 0)
        job_id = self._job_id(run_id, number)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.zscore(self.name, job_id)
            pipe.exists(job_key_prefix + job_id)
            pipe.exists(in_progress_key_prefix + job_id)
            due, known, taken = await pipe.execute()
        if due is None or not known:
            return Job(job_id, "missing")
        return Job(job_id, "taken" if taken else "waiting")

    def counter(self, run_id: str) -> str:
        """The key of the number of jobs that a run had."""
        return f"{self.name}:jobs-of:{run_id}"

    def _job_id(self, run_id: str, number: int) -> str:
        # arq's keys begin with `arq:`. The prefix in the id separates two users of one Redis.
        return f"{self.name}:{run_id}:{number}"

    def run_of(self, job_id: str) -> str:
        """The run that a job is for."""
        return job_id.removeprefix(f"{self.name}:").rpartition(":")[0]

    # -- taking --------------------------------------------------------------------------

    async def take(self, job_id: str, worker_id: str) -> int | None:
        """Take a waiting job for a worker, for ``HOLD`` seconds.

        Returns:
            The time at which it was due, in milliseconds since 1970, or ``None`` if another
            worker has it.
        """
        score = await self._take(
            keys=[self.name, in_progress_key_prefix + job_id],
            args=[job_id, worker_id, timestamp_ms(), int(HOLD * 1000)],
        )
        return None if score is None else int(float(score))

    async def hold(self, job_ids: Iterable[str], load: WorkerLoad) -> None:
        """Renew the hold on jobs for ``HOLD`` seconds, and list the worker with its load."""
        due = timestamp_ms() + int(HOLD * 1000)
        async with self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.pexpire(in_progress_key_prefix + job_id, int(HOLD * 1000))
                pipe.zadd(self.name, {job_id: due}, xx=True)
            pipe.sadd(self._listed, load.name)
            pipe.set(self._listing(load.name), _load.dump_json(load), px=int(LISTED * 1000))
            await pipe.execute()

    async def remove(self, job_id: str) -> None:
        """Remove a job with all its keys."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.zrem(self.name, job_id)
            kinds = (job_key_prefix, in_progress_key_prefix, retry_key_prefix)
            pipe.delete(*(kind + job_id for kind in kinds))
            await pipe.execute()

    async def unlist(self, worker_id: str) -> None:
        """Remove a worker from the list."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.srem(self._listed, worker_id)
            pipe.delete(self._listing(worker_id))
            await pipe.execute()

    async def is_first(self, what: str, worker_id: str, seconds: float) -> bool:
        """Whether no worker has called this for ``what`` within these seconds.

        After a flush of Redis, the next caller is the first again.
        """
        key = f"{self.name}:{what}"
        return bool(await self._redis.set(key, worker_id, nx=True, px=int(seconds * 1000)))

    # -- inspecting ----------------------------------------------------------------------

    async def waiting(self) -> int:
        """Number of jobs that no worker has taken. Raises as ``put``."""
        async with self._answering():
            latest = timestamp_ms() + int(_WAITING_WITHIN * 1000)
            return int(await self._redis.zcount(self.name, "-inf", latest))

    async def loads(self) -> list[WorkerLoad]:
        """What each worker holds, by its last heartbeat. Raises as ``put``."""
        async with self._answering():
            names = sorted(raw.decode() for raw in await self._redis.smembers(self._listed))
            if not names:
                return []
            found = await self._redis.mget([self._listing(name) for name in names])
            silent = [name for name, raw in zip(names, found, strict=True) if raw is None]
            if silent:
                await self._redis.srem(self._listed, *silent)
        return [load for raw in found if (load := _parsed(raw)) is not None]

    @property
    def _listed(self) -> str:
        return f"{self.name}:workers"

    def _listing(self, worker_id: str) -> str:
        return f"{self.name}:worker:{worker_id}"


def _parsed(raw: bytes | None) -> WorkerLoad | None:
    try:
        return None if raw is None else _load.validate_json(raw)
    except (ValidationError, json.JSONDecodeError):
        return None
