"""The shared ledger through faults of the server and of the way to it."""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from paceline import Done, Finding
from paceline.admission import SharedLimiter
from paceline.contracts.admission.ledger import LeaseRequest, Quota
from paceline.errors import PartUnavailable, SettingsError
from paceline.settings.model import RedisSettings
from paceline.testing.servers import Valkey
from paceline.testing.virtual_time import real_time
from paceline_adapters.redis.connection import Link
from pydantic import SecretStr

from tests.support.eventually import eventually_async
from tests.support.redis_ledgers import (
    WORK,
    limiter_over,
    link_to,
    redis_ledger,
    redis_ledgers,
    take,
)

# -- a server that lost its data ---------------------------------------------------------


@real_time
async def test_the_first_use_of_a_limit_does_not_wait(redis_url: str) -> None:
    async with redis_ledgers(redis_url, 2) as ledgers:
        both = await asyncio.gather(*(take(one, "ab"[n], 2) for n, one in enumerate(ledgers)))
        assert [len(leases) for leases in both] == [2, 2]


@real_time
async def test_after_a_flush_nothing_is_granted_until_earlier_leases_are_renewed_or_expired(
    redis_url: str, valkey_server: Valkey
) -> None:
    database = int(redis_url.rpartition("/")[2])

    async with redis_ledgers(redis_url, 2, lease=1.0) as (old, new):
        held = await take(old, "old", 3)
        assert len(held) == 3
        valkey_server.command("FLUSHDB", database=database)
        # Neither the old nor the new process gets the permit of a lease that is still in use.
        assert await take(old, "old", 4) == []
        assert await take(new, "new", 4) == []
        assert await old.renew("limit", holder="old", leases=held) == held
        assert await new.held("limit") == {"old": 3}

        async def granted() -> list[str]:
            assert await old.renew("limit", holder="old", leases=held) == []
            return await take(new, "new", 4)

        assert len(await eventually_async(granted)) == 1


@real_time
async def test_a_new_process_waits_if_another_living_one_may_hold_leases(
    redis_url: str, valkey_server: Valkey
) -> None:
    database = int(redis_url.rpartition("/")[2])

    async with redis_ledgers(redis_url, 2, lease=1.0) as (old, new):
        held = await take(old, "old", 4)
        valkey_server.command("FLUSHDB", database=database)
        assert await take(new, "new", 4) == []
        assert await old.renew("limit", holder="old", leases=held) == held
        assert await new.held("limit") == {"old": 4}


@real_time
async def test_a_new_process_waits_shortly_after_the_server_started() -> None:
    with Valkey() as server:
        ledger = redis_ledger(server.url, settle_in=60.0)
        grant = await ledger.sync(
            "limit", quota=Quota(concurrency=4), holder="a", requests=[LeaseRequest("run", [0])]
        )
        assert not grant.leases
        assert grant.retry_in is not None
        assert 30 < grant.retry_in <= 60
        await ledger.close()


@real_time
async def test_work_continues_through_flushes_and_never_exceeds_the_limit(
    redis_url: str, valkey_server: Valkey
) -> None:
    database = int(redis_url.rpartition("/")[2])
    out, peak, done = 0, 0, 0

    async with redis_ledgers(redis_url, 2, lease=1.0) as ledgers:
        limiters = [limiter_over(one, 4) for one in ledgers]

        async def call(limiter: SharedLimiter) -> None:
            nonlocal out, peak, done
            permit = await limiter.admit(WORK)
            out += 1
            peak = max(peak, out)
            await asyncio.sleep(0.01)
            out -= 1
            done += 1
            permit.release(Done())

        calls = [call(limiter) for limiter in limiters for _ in range(100)]
        work = asyncio.gather(*calls)
        for part in (30, 60):
            await eventually_async(lambda part=part: done >= part)  # type: ignore[misc]
            valkey_server.command("FLUSHDB", database=database)
        await work
        for limiter in limiters:
            await limiter.close()
        assert await ledgers[0].held("limit") == {}
    assert (done, peak) == (200, 4)


@real_time
async def test_waiters_are_served_after_a_restart_of_the_server() -> None:
    with Valkey() as server:
        async with redis_ledgers(server.url, 2, lease=1.0) as ledgers:
            limiters = [limiter_over(one, 1) for one in ledgers]
            permit = await limiters[0].admit(WORK)
            waits = asyncio.create_task(limiters[1].admit(WORK))
            await eventually_async(lambda: limiters[1].waiting == 1)
            server.kill()
            permit.release(Done())
            server.restart()
            (await asyncio.wait_for(waits, 20)).release(Done())
            assert [limiter.waiting for limiter in limiters] == [0, 0]

            async def all_back() -> bool:
                return not await ledgers[0].held("limit")

            assert await eventually_async(all_back)
            for limiter in limiters:
                await limiter.close()


# -- the connection to the server ---------------------------------------------------------------


class Gate:
    """A proxy between client and server that can drop answers and close connections."""

    def __init__(self) -> None:
        self.swallows = 0

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        try:
            while data := await reader.read(65_536):
                if answers and self.swallows and b":limiter" in data:
                    self.swallows -= 1
                    break
                writer.write(data)
        finally:
            writer.close()

    async def serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Connect one client."""
        there, to = await asyncio.open_connection(self.host, self.port)
        await asyncio.gather(
            self._pass(client, to, answers=False),
            self._pass(there, back, answers=True),
            return_exceptions=True,
        )
        back.close()

    @asynccontextmanager
    async def before(self, url: str) -> AsyncIterator[str]:
        """Listen; gives the URL to use instead."""
        parts = urlsplit(url)
        self.host, self.port = parts.hostname, parts.port
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        yield f"redis://127.0.0.1:{port}{parts.path}"
        server.close()


@real_time
async def test_a_lost_answer_loses_no_lease(redis_url: str) -> None:
    gate = Gate()
    async with gate.before(redis_url) as url:
        ledger = redis_ledger(url)
        assert len(await take(ledger, "limiter", 1)) == 1
        gate.swallows = 1
        # The retry sends the same sync, and gets the same answer.
        assert len(await take(ledger, "limiter", 2)) == 2
        assert gate.swallows == 0
        assert await ledger.held("limit") == {"limiter": 3}
        await ledger.close()


@real_time
async def test_a_sync_without_any_answer_can_be_repeated_later(redis_url: str) -> None:
    gate = Gate()
    async with gate.before(redis_url) as url:
        ledger = redis_ledger(url)
        assert len(await take(ledger, "limiter", 1)) == 1
        gate.swallows = 100
        with pytest.raises(PartUnavailable):
            await take(ledger, "limiter", 3)
        gate.swallows = 0
        # The reply contains all leases that were granted without an answer.
        assert len(await take(ledger, "limiter", 1)) == 3
        assert await take(ledger, "limiter", 0) == []
        assert await ledger.held("limit") == {"limiter": 4}
        await ledger.close()


@real_time
async def test_a_notification_read_after_its_leases_expired_is_ignored(redis_url: str) -> None:
    ledger = redis_ledger(redis_url, lease=10.0)
    await take(ledger, "b", 1)

    async def notified(age: int) -> list[str]:
        seconds, _ = await ledger._link.execute("TIME")
        name = f"{9_000_000_000_000_000 - age}.{1000 * (int(seconds) - age)}.0:b|run"
        message = json.dumps(["b", "limit", [name]])
        await ledger._link.execute("PUBLISH", ledger._channel, message)
        return [one.name for one in await ledger.wait_for_grants("limit", holder="b", seconds=60)]

    # A process that was frozen reads old notifications. The reply to its next sync is complete.
    assert await notified(age=8) == []
    assert len(await notified(age=0)) == 1
    await ledger.close()


@real_time
async def test_an_error_names_the_address_and_no_secret() -> None:
    async def refused(url: str) -> str:
        link = link_to(url, timeout=0.5)
        try:
            with pytest.raises(PartUnavailable) as raised:
                await link.execute("PING")
        finally:
            await link.close()
        return str(raised.value)

    with Valkey(password="s3cret/word") as server:
        place = f"127.0.0.1:{server.port}/3"
        wrong = await refused(f"redis://:wr0ng@{place}")
        none = await refused(f"redis://{place}")
        no_such = await refused(server.url_of(99))
        server.kill()
        away = await refused(server.url_of(3))
    for text in (wrong, none, away):
        assert place in text
    for text in (wrong, none, no_such, away):
        assert "\n" not in text
        assert not re.search("s3cret|wr0ng", text)


@pytest.mark.parametrize(
    "url", ["http://h", "redis://u:s3cret@h:port/0", "redis://h?s3cret=1", "redis://h/0?protocol=x"]
)
def test_an_invalid_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match=r"redis\.url") as raised:
        link_to(url)
    assert "s3cret" not in str(raised.value)


@real_time
async def test_check_describes_the_server_and_warns_of_eviction() -> None:
    async def said(url: str) -> str | Finding:
        ledger = redis_ledger(url)
        try:
            return await ledger.check()
        finally:
            await ledger.close()

    with Valkey() as server:
        text = await said(server.url)
        assert isinstance(text, str)
        assert re.fullmatch(r"127.0.0.1:\d+/0 is Valkey \d+\.\d+\.\d+", text)
        server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        found = await said(server.url)
        assert isinstance(found, Finding)
        assert (found.level, found.part) == ("warning", "ledger redis")
        assert "maxmemory-policy allkeys-lru may delete limits" in found.text


# -- what it costs -----------------------------------------------------------------------


async def commands_run(server: Valkey) -> tuple[int, int]:
    """Number of scripts that the server ran, and of all commands, including those of scripts."""
    link = Link(RedisSettings(url=SecretStr(server.url)), connections=1)
    text = str(await link.execute("INFO", "commandstats"))
    await link.close()
    counts = {name: int(calls) for name, calls in re.findall(r"cmdstat_(\S+):calls=(\d+)", text)}
    scripts = sum(calls for name, calls in counts.items() if name.startswith("eval"))
    return scripts, sum(counts.values())


async def scripts_run(server: Valkey) -> int:
    """Number of scripts that the server ran."""
    return (await commands_run(server))[0]


@real_time
async def test_waiters_wait_without_repeated_syncs() -> None:
    with Valkey() as server:
        before = await scripts_run(server)
        async with redis_ledgers(server.url, 2) as ledgers:
            one, other = (limiter_over(each, 4) for each in ledgers)
            held = [await one.admit(WORK) for _ in range(4)]
            waits = [asyncio.create_task(other.admit(WORK)) for _ in range(500)]
            await eventually_async(lambda: other.waiting == 500)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(waits[0]), 1.0)
            held[0].release(Done())
            (await waits[0]).release(Done())
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)
            for limiter in (one, other):
                await limiter.close()
        assert await scripts_run(server) - before < 40


@real_time
async def test_many_simultaneous_exchanges_share_few_connections() -> None:
    with Valkey() as server:
        ledger = redis_ledger(server.url)
        await asyncio.gather(
            *(ledger.sync(f"limit-{n}", quota=Quota(concurrency=4), holder="a") for n in range(227))
        )
        connected = re.search(r"connected_clients:(\d+)", str(await ledger._link.execute("INFO")))
        assert connected is not None
        assert int(connected[1]) <= 4
        await ledger.close()


@real_time
async def test_an_admission_costs_one_script_and_the_same_commands_for_any_number_of_waiters() -> (
    None
):
    admitted = 0

    async def admissions(url: str, waiters: int, calls: int) -> None:
        nonlocal admitted
        async with redis_ledgers(url, 2) as ledgers:
            limiters = [limiter_over(each, 4) for each in ledgers]
            admitted = 0
            enough = asyncio.Event()

            async def busy(limiter: SharedLimiter) -> None:
                nonlocal admitted
                while True:
                    permit = await limiter.admit(WORK)
                    admitted += 1
                    if admitted >= calls:
                        enough.set()
                    await asyncio.sleep(random.uniform(0.01, 0.03))
                    permit.release(Done())

            tasks = [asyncio.create_task(busy(each)) for each in limiters for _ in range(waiters)]
            await enough.wait()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for limiter in limiters:
                await limiter.close()

    costs: list[float] = []
    for waiters in (8, 1000):
        with Valkey() as server:
            scripts, commands = await commands_run(server)
            await admissions(server.url, waiters, 400)
            now_scripts, now_commands = await commands_run(server)
            assert now_scripts - scripts <= 1.2 * admitted + 20
            costs.append((now_commands - commands) / admitted)
    assert costs[1] <= 1.15 * costs[0] + 1
