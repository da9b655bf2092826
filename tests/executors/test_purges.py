"""Nothing of a purged run remains in Redis, with every executor that uses it."""

from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from paceline import App, Settings
from paceline.testing.scripted import ScriptedProvider
from paceline.testing.virtual_time import real_time

from tests.support.memory_worker import a_roadmap

KINDS = {
    "string": ("GET",),
    "list": ("LRANGE", 0, -1),
    "set": ("SMEMBERS",),
    "zset": ("ZRANGE", 0, -1),
    "hash": ("HGETALL",),
    "stream": ("XRANGE", "-", "+"),
}


async def keys_that_name(url: str, run_id: str) -> list[str]:
    """The keys with the run's id in their name or value."""
    named: list[str] = []
    # Some values are binary; their text shows the id all the same.
    async with redis.asyncio.Redis.from_url(url) as client:
        sent: Any = client
        async for key in client.scan_iter():
            command, *arguments = KINDS[(await client.type(key)).decode()]
            value = await sent.execute_command(command, key, *arguments)
            if run_id in str(key) or run_id in str(value):
                named.append(str(key))
    return named


@pytest.mark.parametrize("executor", ["arq", "celery"])
@real_time
async def test_nothing_of_a_purged_run_remains_in_redis(
    executor: str, redis_url: str, tmp_path: Path
) -> None:
    settings = Settings.model_validate(
        {
            "executor": executor,
            "strategy": ["per-roadmap", "global"],
            "redis": {"url": redis_url},
            "store": {"url": f"sqlite:///{tmp_path}/paceline.db"},
        }
    )
    app = App(settings, provider=ScriptedProvider())
    async with app.client() as client:
        done, _ = await client.submit(a_roadmap(2, "done"))
        queued, _ = await client.submit(a_roadmap(2, "queued"))
        cancelled, _ = await client.submit(a_roadmap(2, "cancelled"))
        async with app.worker() as worker:
            assert await worker.run(done.run_id) == "completed"
        await client.cancel(cancelled.run_id)
        kept, _ = await client.submit(a_roadmap(2, "kept"))
        runs = [done.run_id, queued.run_id, cancelled.run_id]
        for run_id in runs:
            assert await keys_that_name(redis_url, run_id), "the test must leave something"
        for run_id in runs:
            await client.purge(run_id)
        for run_id in runs:
            assert await keys_that_name(redis_url, run_id) == []
        assert await client.executor.queued() == 1
        assert await keys_that_name(redis_url, kept.run_id)
