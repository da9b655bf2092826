"""The queue, in a real Valkey."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from arq.constants import in_progress_key_prefix, job_key_prefix
from arq.utils import timestamp_ms
from paceline.contracts.executor import WorkerLoad
from paceline.errors import PartUnavailable
from paceline.settings.model import RedisSettings
from paceline.testing.servers import Valkey
from paceline.testing.virtual_time import real_time
from paceline_adapters.arq.message import decode
from paceline_adapters.arq.queue import HOLD, Queue
from pydantic import SecretStr


def settings(url: str, **more: Any) -> RedisSettings:
    return RedisSettings(url=SecretStr(url), **more)


@asynccontextmanager
async def opened(url: str, name: str = "q", **more: Any) -> AsyncGenerator[Queue]:
    queue = Queue(settings(url, **more), name)
    try:
        yield queue
    finally:
        await queue.close()


async def job_ids(queue: Queue) -> list[str]:
    return [raw.decode() for raw in await queue.client.zrange(queue.name, 0, -1)]


@real_time
async def test_a_waiting_run_is_not_queued_again(redis_url: str) -> None:
    async with opened(redis_url) as queue:
        await queue.put("run1")
        await queue.put("run1")
        await queue.put("run2")
        assert await job_ids(queue) == ["paceline:arq:q:run1:1", "paceline:arq:q:run2:1"]
        assert await queue.waiting() == 2


@real_time
async def test_the_message_is_json_with_the_run_id_only(redis_url: str) -> None:
    async with opened(redis_url) as queue:
        await queue.put("run1")
        (job_id,) = await job_ids(queue)
        raw = await queue.client.get(job_key_prefix + job_id)
        assert isinstance(raw, bytes)
        assert (decode(raw)["a"], decode(raw)["k"]) == (["run1"], {})


@real_time
async def test_a_run_with_a_taken_job_gets_another_job(redis_url: str) -> None:
    async with opened(redis_url) as queue:
        await queue.put("run1")
        (first,) = await job_ids(queue)
        assert await queue.take(first, "w1") is not None
        assert await queue.waiting() == 0
        await queue.put("run1")
        assert sorted(await job_ids(queue)) == [first, "paceline:arq:q:run1:2"]
        assert await queue.waiting() == 1
        assert [queue.run_of(job_id) for job_id in await job_ids(queue)] == ["run1", "run1"]


@real_time
async def test_only_a_run_without_a_job_is_restored(redis_url: str) -> None:
    async with opened(redis_url) as queue:
        await queue.put("run1")
        (job_id,) = await job_ids(queue)
        await queue.restore("run1")  # its job is waiting
        assert await queue.take(job_id, "w1") is not None
        await queue.restore("run1")  # a worker has taken its job
        assert await job_ids(queue) == [job_id]
        await queue.client.flushdb()
        await queue.restore("run1")
        assert await queue.waiting() == 1


@real_time
async def test_a_job_is_taken_once_and_its_holder_may_repeat_the_request(redis_url: str) -> None:
    async with opened(redis_url) as queue:
        await queue.put("run1")
        (job_id,) = await job_ids(queue)
        took = await asyncio.gather(*(queue.take(job_id, f"w{n}") for n in range(8)))
        assert sum(due is not None for due in took) == 1
        assert await queue.take("paceline:arq:q:unknown:1", "w1") is None


@real_time
async def test_the_job_of_a_silent_worker_becomes_due_by_itself(redis_url: str) -> None:
    async with opened(redis_url) as queue:
        await queue.put("run1")
        (job_id,) = await job_ids(queue)
        due = await queue.take(job_id, "w1")
        held = await queue.client.pttl(in_progress_key_prefix + job_id)
        score = await queue.client.zscore(queue.name, job_id)
        assert due is not None
        assert score is not None
        assert 0 < held <= HOLD * 1000 <= score - due
        # The effect of the elapsed time, applied at once.
        await queue.client.delete(in_progress_key_prefix + job_id)
        await queue.client.zadd(queue.name, {job_id: due})
        assert await queue.take(job_id, "w2") is not None


@real_time
async def test_hundreds_of_jobs_in_progress_do_not_hide_the_waiting_one(redis_url: str) -> None:
    async with opened(redis_url) as queue:
        for number in range(150):
            await queue.put(f"run{number}")
        for job_id in await job_ids(queue):
            await queue.take(job_id, "w1")
        await queue.put("last")
        # What arq reads from the queue: the first hundred jobs that are due.
        now = timestamp_ms()
        due = await queue.client.zrangebyscore(queue.name, "-inf", now, start=0, num=100)
        assert due == [b"paceline:arq:q:last:1"]


@real_time
async def test_a_waiting_run_can_be_withdrawn(redis_url: str) -> None:
    async with opened(redis_url) as queue:
        await queue.put("run1")
        await queue.withdraw("run1")
        await queue.withdraw("run1")
        await queue.withdraw("never")
        assert await job_ids(queue) == []
        assert await queue.client.exists(job_key_prefix + "paceline:arq:q:run1:1") == 0
        await queue.put("run1")
        assert await queue.waiting() == 1


@real_time
async def test_prefixes_and_queue_names_separate_two_users_of_one_database(redis_url: str) -> None:
    async with (
        opened(redis_url) as ours,
        opened(redis_url, prefix="other") as theirs,
        opened(redis_url, "second") as second,
    ):
        for queue in (ours, theirs, second):
            await queue.put("run1")
        for queue in (ours, theirs, second):
            assert await queue.waiting() == 1
            (job_id,) = await job_ids(queue)
            assert await queue.take(job_id, "w1") is not None


@real_time
async def test_workers_are_listed_with_their_load_until_they_leave(redis_url: str) -> None:
    async with opened(redis_url) as queue:
        load = WorkerLoad(name="w1", active=("run1",), reserved=(), concurrency=2)
        await queue.put("run1")
        (job_id,) = await job_ids(queue)
        await queue.take(job_id, "w1")
        await queue.hold([job_id, "paceline:arq:q:gone:1"], load)
        await queue.hold([], WorkerLoad(name="w2", active=(), reserved=(), concurrency=2))
        assert await queue.loads() == [
            load,
            WorkerLoad(name="w2", active=(), reserved=(), concurrency=2),
        ]
        # A late heartbeat does not restore a finished job.
        assert await job_ids(queue) == [job_id]
        await queue.unlist("w1")
        await queue.client.delete("paceline:arq:q:worker:w2")  # its listing has expired
        assert await queue.loads() == []
        assert not await queue.client.exists("paceline:arq:q:workers")


@real_time
async def test_only_one_worker_is_first(redis_url: str) -> None:
    async with opened(redis_url) as queue:
        asked = [await queue.is_first("compared", f"w{n}", 60.0) for n in range(3)]
        assert asked == [True, False, False]
        await queue.client.flushdb()
        assert await queue.is_first("compared", "w2", 60.0)


@real_time
async def test_every_key_starts_with_the_prefix(redis_url: str) -> None:
    async with opened(redis_url, prefix="mine") as queue:
        await queue.put("run1")
        await queue.hold([], WorkerLoad(name="w", active=(), reserved=(), concurrency=1))
        await queue.is_first("compared", "w", 60.0)
        keys = [raw.decode() for raw in await queue.client.keys("*")]
        strange = [key for key in keys if not key.startswith(("mine:arq:q", "arq:job:mine:"))]
        assert (len(keys), strange) == (6, [])


@real_time
async def test_an_unreachable_redis_is_reported_in_one_line_without_the_password() -> None:
    with Valkey(password="s3cret/word") as server:
        async with opened(server.url) as queue:
            await queue.put("run1")
            server.kill()
            for call in (queue.put("run2"), queue.withdraw("run1"), queue.waiting()):
                with pytest.raises(PartUnavailable) as raised:
                    await call
                text = str(raised.value)
                assert text.startswith(f"Redis at 127.0.0.1:{server.port}/0 cannot be reached")
                assert "\n" not in text
                assert "s3cret" not in text


@real_time
async def test_a_redis_that_never_answers_times_out() -> None:
    with Valkey() as server:
        async with opened(server.url, timeout=0.3) as queue:
            await queue.check()
            server.command("CLIENT", "PAUSE", "60000", "ALL")
            with pytest.raises(PartUnavailable, match=r"no answer within 0\.3 s"):
                await queue.put("run1")
        server.kill()


@real_time
async def test_a_wrong_password_is_reported_without_the_password() -> None:
    with Valkey(password="right") as server:
        wrong = server.url.replace(":right@", ":wr0ng@")
        async with opened(wrong) as queue:
            with pytest.raises(PartUnavailable) as raised:
                await queue.put("run1")
        assert "wr0ng" not in str(raised.value)
