"""The queue, for clients: submit runs, remove them, count them, list the workers.

streaQ keeps a Redis stream of task ids, and a key with the message of each task. A worker that
takes a task deletes both when the task has ended. The id of a task begins with the id of its run.
"""

from collections.abc import AsyncIterator, Collection

import streaq
from coredis import PureToken
from paceline import RedisSettings, WorkerLoad
from pydantic import TypeAdapter, ValidationError
from streaq.constants import REDIS_GROUP, REDIS_HEALTH

from paceline_streaq import StreaqOptions
from paceline_streaq.connection import Connection
from paceline_streaq.message import RUN, new_task_id, run_of

#: Messages that one command reads.
_PAGE = 1000

_load = TypeAdapter(WorkerLoad)


class Queue:
    """One queue in Redis. Each method raises ``PartUnavailable`` if Redis cannot be reached."""

    def __init__(self, settings: RedisSettings, options: StreaqOptions) -> None:
        self._connection = Connection(settings, options)
        self.place = self._connection.place

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()

    async def put(self, run_id: str) -> None:
        """Queue a run. Every call adds a task; the store decides which of them claims the run.

        A task must be added even if one is in work: it may be about to hand the run back.
        """
        async with self._connection.client() as client:
            task = client.enqueue_unsafe(RUN, run_id)
            task.id = new_task_id(run_id)
            await task

    async def remove(self, run_ids: Collection[str]) -> None:
        """Remove all tasks of these runs."""
        async with self._connection.client() as client:
            stream = _stream(client)
            async for message_id, task_id in _messages(client):
                if run_of(task_id) in run_ids:
                    async with client.redis.pipeline(transaction=True) as pipe:
                        pipe.xack(stream, REDIS_GROUP, [message_id])
                        pipe.xdel(stream, [message_id])
                        pipe.delete([client.task_key + task_id])

    async def run_ids(self) -> set[str]:
        """The runs with a task in the queue, whether a worker has taken it or not."""
        async with self._connection.client() as client:
            return {run_of(task_id) async for _, task_id in _messages(client)}

    async def waiting(self) -> int:
        """Number of tasks that no worker has taken."""
        async with self._connection.client() as client:
            messages = await client.redis.xlen(_stream(client))
            if not messages:
                return 0
            groups = await client.redis.xinfo_groups(_stream(client))
            return messages - sum(int(str(group["pending"])) for group in groups)

    async def publish(self, load: WorkerLoad) -> None:
        """Say what a worker holds."""
        async with self._connection.client() as client:
            await client.redis.hset(_loads(client), {load.name: _load.dump_json(load).decode()})

    async def unlist(self, worker_id: str) -> None:
        """Remove a worker from the list."""
        async with self._connection.client() as client:
            await client.redis.hdel(_loads(client), [worker_id])

    async def loads(self) -> list[WorkerLoad]:
        """What each worker holds, as it published. Workers that have exited are removed."""
        found: list[WorkerLoad] = []
        async with self._connection.client() as client:
            for name, raw in sorted((await client.redis.hgetall(_loads(client))).items()):
                # streaQ's worker renews this key while it is connected.
                alive = await client.redis.exists([f"{client.prefix}{REDIS_HEALTH}:{name}"])
                load = _parsed(raw) if alive else None
                if load is None:
                    await client.redis.hdel(_loads(client), [name])
                else:
                    found.append(load)
        return found

    async def is_first(self, what: str, seconds: float) -> bool:
        """Whether no worker has called this for ``what`` within these seconds.

        After a flush of Redis, the next caller is the first again.
        """
        async with self._connection.client() as client:
            key = f"{client.prefix}:paceline:{what}"
            taken = await client.redis.set(
                key, client.id, condition=PureToken.NX, px=int(seconds * 1000)
            )
            return bool(taken)


def _stream(client: "streaq.Worker[None]") -> str:
    return client.stream_key + client.priorities[-1]


def _loads(client: "streaq.Worker[None]") -> str:
    return f"{client.prefix}:paceline:loads"


async def _messages(client: "streaq.Worker[None]") -> AsyncIterator[tuple[str, str]]:
    """The id of each message in the stream, with the id of its task."""
    start = "-"
    while page := await client.redis.xrange(_stream(client), start, count=_PAGE):
        for entry in page:
            yield str(entry.identifier), str(entry.field_values.get("task_id", ""))
        start = f"({page[-1].identifier!s}"


def _parsed(raw: str) -> WorkerLoad | None:
    try:
        return _load.validate_json(raw)
    except ValidationError:
        return None
