"""The queue as both sides see it: submitting runs, taking them back, counting.

arq keeps a sorted set of job ids by the time they are due, and beside it a key per job with
its message and one per job in progress. While a run is worked on, its job is due in the
future: a worker that looks for work reads waiting jobs only, and the job of a worker that
died comes due by itself.
"""

import json
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix
from arq.utils import timestamp_ms
from paceline import RedisSettings, WorkerLoad
from pydantic import TypeAdapter, ValidationError

from paceline_adapters.arq.connection import answering, connect
from paceline_adapters.arq.message import RUN

#: Seconds until a job in progress, whose worker says nothing more of it, is due again.
HOLD = 30.0
#: Seconds that a worker is listed after it was last heard of.
LISTED = 15.0
#: Seconds that a run's count of jobs is kept: longer than any of its jobs.
_COUNTED = 90 * 24 * 3600
#: A job due within these is waiting; one in progress is due much later.
_WAITING_WITHIN = 5.0

_load = TypeAdapter(WorkerLoad)

# One step, so that a job is never in progress and due at once. A holder that asks again
# (the answer was lost on the way) gets it again.
_TAKE = """
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score or tonumber(score) > tonumber(ARGV[3]) then return false end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[2] then return false end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4])
redis.call('ZADD', KEYS[1], 'XX', ARGV[3] + ARGV[4], ARGV[1])
return score
"""


class _Job(NamedTuple):
    """The newest job of a run, and whether a worker has it."""

    job_id: str
    state: Literal["missing", "waiting", "taken"]


class Queue:
    """One queue in Redis.

    Args:
        settings: where Redis is.
        name: the queue's name in the settings.
    """

    def __init__(self, settings: RedisSettings, name: str) -> None:
        self.settings = settings
        self.name = f"{settings.prefix}:arq:{name}"
        self.client: ArqRedis = connect(settings, self.name)
        # redis-py types its commands for both worlds at once, awaitable or not.
        self._redis: Any = self.client
        self._take = self._redis.register_script(_TAKE)

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose(close_connection_pool=True)

    async def check(self) -> None:
        """Raise ``PartUnavailable`` unless Redis answers."""
        async with answering(self.settings):
            await self._redis.ping()

    # -- submitting ----------------------------------------------------------------------

    async def put(self, run_id: str, *, delay: float = 0.0) -> None:
        """Queue a run, unless a job of it is waiting.

        Each time under a new job id: arq ignores a job whose id is known, and that of a
        killed worker stays known. A job in progress does not count: it may be about to end,
        and the run it handed back to go on elsewhere.

        Args:
            run_id: the run.
            delay: seconds until it is due.

        Raises:
            PartUnavailable: Redis cannot be reached.
        """
        async with answering(self.settings):
            if (await self._newest_job(run_id)).state != "waiting":
                await self._enqueue(run_id, delay)

    async def restore(self, run_id: str) -> None:
        """Queue a run that the queue knows nothing of. Raises as ``put``.

        A job in progress counts here: its worker is about to claim the run, and where that
        worker died the job comes due again by itself.
        """
        async with answering(self.settings):
            if (await self._newest_job(run_id)).state == "missing":
                await self._enqueue(run_id, 0.0)

    async def take_back(self, run_id: str) -> None:
        """Remove a waiting job of a run. Raises as ``put``."""
        async with answering(self.settings):
            job = await self._newest_job(run_id)
            if job.state == "waiting":
                async with self._redis.pipeline(transaction=True) as pipe:
                    pipe.zrem(self.name, job.job_id)
                    pipe.delete(job_key_prefix + job.job_id)
                    await pipe.execute()

    async def _enqueue(self, run_id: str, delay: float) -> None:
        job = None
        while job is None:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.incr(self._counter(run_id))
                pipe.expire(self._counter(run_id), _COUNTED)
                number = (await pipe.execute())[0]
            job = await self._redis.enqueue_job(
                RUN,
                run_id,
                _job_id=self._job_id(run_id, number),
                _queue_name=self.name,
                _defer_by=delay or None,
            )

    async def _newest_job(self, run_id: str) -> "_Job":
        number = int(await self._redis.get(self._counter(run_id)) or 0)
        job_id = self._job_id(run_id, number)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.zscore(self.name, job_id)
            pipe.exists(job_key_prefix + job_id)
            pipe.exists(in_progress_key_prefix + job_id)
            due, known, taken = await pipe.execute()
        if due is None or not known:
            return _Job(job_id, "missing")
        return _Job(job_id, "taken" if taken else "waiting")

    def _counter(self, run_id: str) -> str:
        return f"{self.name}:jobs-of:{run_id}"

    def _job_id(self, run_id: str, number: int) -> str:
        # arq's keys of a job begin with `arq:`; in the id the prefix keeps two users apart.
        return f"{self.name}:{run_id}:{number}"

    def run_of(self, job_id: str) -> str:
        """The run that a job is of."""
        return job_id.removeprefix(f"{self.name}:").rpartition(":")[0]

    # -- taking --------------------------------------------------------------------------

    async def take(self, job_id: str, worker_id: str) -> int | None:
        """Take a waiting job for a worker, for ``HOLD`` seconds.

        Returns:
            The time it was due, in milliseconds as arq counts; ``None`` if another has it.
        """
        score = await self._take(
            keys=[self.name, in_progress_key_prefix + job_id],
            args=[job_id, worker_id, timestamp_ms(), int(HOLD * 1000)],
        )
        return None if score is None else int(float(score))

    async def hold(self, job_ids: Iterable[str], load: WorkerLoad) -> None:
        """Keep jobs for ``HOLD`` seconds more, and list the worker with what it holds."""
        due = timestamp_ms() + int(HOLD * 1000)
        async with self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.pexpire(in_progress_key_prefix + job_id, int(HOLD * 1000))
                pipe.zadd(self.name, {job_id: due}, xx=True)
            pipe.sadd(self._listed, load.name)
            pipe.set(self._listing(load.name), _load.dump_json(load), px=int(LISTED * 1000))
            await pipe.execute()

    async def unlist(self, worker_id: str) -> None:
        """Take a worker that leaves off the list."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.srem(self._listed, worker_id)
            pipe.delete(self._listing(worker_id))
            await pipe.execute()

    async def is_first(self, what: str, worker_id: str, seconds: float) -> bool:
        """Whether a worker is the first of all in these seconds to ask for ``what``.

        A Redis that lost its data knows of nobody who asked.
        """
        key = f"{self.name}:{what}"
        return bool(await self._redis.set(key, worker_id, nx=True, px=int(seconds * 1000)))

    # -- looking -------------------------------------------------------------------------

    async def waiting(self) -> int:
        """How many jobs no worker has taken. Raises as ``put``."""
        async with answering(self.settings):
            latest = timestamp_ms() + int(_WAITING_WITHIN * 1000)
            return int(await self._redis.zcount(self.name, "-inf", latest))

    async def loads(self) -> list[WorkerLoad]:
        """What each worker holds, by its last word. Raises as ``put``."""
        async with answering(self.settings):
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
