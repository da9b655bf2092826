"""What the queue does with outages of Redis, messages from outside, and purged runs."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from coredis import Redis
from paceline import App, Client, PartRejected, Roadmap, Settings, parse_roadmap
from paceline.testing.proxy import Proxy
from paceline.testing.scripted import ScriptedProvider, plain_answer
from paceline.testing.virtual_time import real_time
from paceline_streaq import StreaqOptions
from paceline_streaq.message import DROP, RUN, decode, encode
from paceline_streaq.queue import Queue
from paceline_streaq.serving import Serving

#: Seconds that a wait may take on a busy machine.
PATIENCE = 60.0
#: The task of a lost worker is soon due again.
OPTIONS = StreaqOptions(idle_timeout=1.0)


def a_roadmap(name: str) -> Roadmap:
    """A roadmap with one concept."""
    module = {"module_id": "m", "name": "M", "concepts": [{"concept_id": "c", "name": "C"}]}
    stage = {"stage_id": "s", "name": "S", "modules": [module]}
    return parse_roadmap({"roadmap_id": name, "title": name, "stages": [stage]}, source=name)


def an_app(url: str, folder: Path, provider: ScriptedProvider) -> App:
    """An application with runs that this executor executes."""
    settings = Settings.model_validate(
        {
            "executor": "streaq",
            "strategy": ["unbounded"],
            "store": {"url": f"sqlite:///{folder}/paceline.db"},
            "redis": {"url": url, "timeout": 5},
            "executors": {"streaq": OPTIONS.model_dump()},
            "run": {"steps": ["quiz"]},
        }
    )
    return App(settings, provider=provider)


def quick() -> ScriptedProvider:
    """A provider that answers at once."""
    return ScriptedProvider(lambda request, _: (0.0, plain_answer(request.step)))


@asynccontextmanager
async def serving(app: App, concurrency: int = 4) -> AsyncGenerator[None]:
    """A worker on the running loop. It drains at the end."""
    redis = app.settings.redis
    queue = Queue(redis, OPTIONS)
    async with app.worker(concurrency=concurrency) as worker:
        task = asyncio.create_task(Serving(worker, queue, redis, OPTIONS).serve())
        try:
            yield
        finally:
            await worker.drain(5.0)
            await task
            await queue.close()


async def until(condition: Callable[[], Any]) -> None:
    """Wait until a condition holds."""
    give_up = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if await found if asyncio.iscoroutine(found) else found:
            return
        assert time.monotonic() < give_up, "timed out"
        await asyncio.sleep(0.02)


async def contents(redis: "Redis[bytes]") -> dict[bytes, object]:
    """Every key with its value as Redis stores it, and streams without deleted messages."""
    return {
        key: await (redis.xrange(key) if await redis.type(key) == b"stream" else redis.dump(key))
        async for key in redis.scan_iter()
    }


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "no JSON",
        "[" * 3000,
        "x" * 5000,
        "[]",
        '{"f": "paceline_run"}',
        json.dumps({"f": RUN, "a": [1]}),
        json.dumps({"f": RUN, "a": ["one", "two"]}),
        json.dumps({"f": RUN, "a": ["../../one"]}),
        json.dumps({"f": "os.system", "a": ["one"]}),
    ],
)
def test_a_message_that_is_not_ours_is_dropped(raw: str) -> None:
    assert decode(raw)["f"] == DROP


def test_a_message_names_its_run() -> None:
    task = decode(encode({"f": RUN, "a": ("one",), "k": {}, "t": 5}))
    assert (task["f"], task["a"]) == (RUN, ["one"])


@real_time
async def test_messages_from_outside_do_not_end_the_worker(redis_url: str, tmp_path: Path) -> None:
    app = an_app(redis_url, tmp_path, quick())
    queue = Queue(app.settings.redis, OPTIONS)
    async with app.client() as client, Redis.from_url(redis_url) as redis:
        stream = "streaq:paceline:content_generation:queues:normal"
        for number, raw in enumerate(("no JSON", '{"f": "other", "a": []}', '{"f": 1}')):
            task = f"theirs.{number}"
            await redis.set(f"streaq:paceline:content_generation:task:data:{task}", raw)
            await redis.xadd(stream, {"task_id": task, "enqueue_time": "1"})
        await redis.xadd(stream, {"task_id": "without-a-message", "enqueue_time": "1"})
        run, _ = await client.submit(a_roadmap("ours"))
        async with serving(app):
            await until(lambda: _status(client, run.run_id, "completed"))
        assert await queue.run_ids() == set()
    await queue.close()


async def _status(client: Client, run_id: str, expected: str) -> bool:
    return (await client.store.run(run_id)).status == expected


@real_time
async def test_a_run_in_work_continues_while_redis_is_away_and_later_runs_start(
    redis_url: str, tmp_path: Path
) -> None:
    gate = asyncio.Event()

    class Gated(ScriptedProvider):
        async def complete(self, request: Any) -> Any:
            self.requests.append(request)
            await gate.wait()
            return await quick().complete(request)

    provider = Gated()
    with Proxy.to(redis_url) as proxy:
        app = an_app(proxy.through(redis_url), tmp_path, provider)
        async with app.client() as client:
            first, _ = await client.submit(a_roadmap("first"))
            async with serving(app):
                await until(lambda: provider.requests)
                proxy.refuse()
                proxy.cut()
                gate.set()
                await until(lambda: _status(client, first.run_id, "completed"))
                proxy.heal()
                second, _ = await client.submit(a_roadmap("second"))
                await until(lambda: _status(client, second.run_id, "completed"))
    assert len(provider.requests) == 2


@real_time
async def test_a_queued_run_survives_a_flush_of_redis(redis_url: str, tmp_path: Path) -> None:
    app = an_app(redis_url, tmp_path, quick())
    async with app.client() as client, Redis.from_url(redis_url) as redis:
        run, _ = await client.submit(a_roadmap("one"))
        await redis.flushdb()
        async with serving(app):
            await until(lambda: _status(client, run.run_id, "completed"))


@real_time
async def test_nothing_of_a_purged_run_remains_in_redis(redis_url: str, tmp_path: Path) -> None:
    app = an_app(redis_url, tmp_path, quick())
    async with app.client() as client, Redis.from_url(redis_url) as redis:
        done, _ = await client.submit(a_roadmap("done"))
        async with serving(app):
            await until(lambda: _status(client, done.run_id, "completed"))
        queued, _ = await client.submit(a_roadmap("queued"))
        cancelled, _ = await client.submit(a_roadmap("cancelled"))
        await client.cancel(cancelled.run_id)
        runs = [done.run_id, queued.run_id, cancelled.run_id]
        kept, _ = await client.submit(a_roadmap("kept"))
        for run_id in runs:
            await client.purge(run_id)
        remaining = str(await contents(redis))
        assert [run_id for run_id in runs if run_id in remaining] == []
        assert kept.run_id in remaining
        assert await client.executor.queued() == 1


@real_time
async def test_a_wrong_password_is_named_and_not_shown(redis_url: str, tmp_path: Path) -> None:
    url = redis_url.replace("redis://", "redis://someone:hidden-p4ss@")
    async with an_app(url, tmp_path, quick()).open_executor() as executor:
        with pytest.raises(PartRejected) as caught:
            await executor.check()
    assert "check redis.url" in str(caught.value)
    assert "hidden-p4ss" not in f"{caught.value!r} {caught.value.__cause__!r}"
