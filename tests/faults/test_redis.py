"""A Redis that restarts, loses data, is full or unreachable: no limit is exceeded."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from paceline.testing.proxy import Proxy
from paceline.testing.servers import Valkey
from paceline.testing.virtual_time import real_time

from tests.support.eventually import eventually_async
from tests.support.real_worker import PATIENCE, Working, sqlite, working

LIMIT = 3
#: More concepts than permits can serve that are reused until their leases end.
CONCEPTS = 60
#: Faults of the server or its proxy: how each is caused and undone.
Fault = tuple[Callable[[Valkey, Proxy], None], Callable[[Valkey, Proxy], None]]

FAULTS: dict[str, Fault] = {
    "restarted": (lambda server, _: server.kill(), lambda server, _: server.restart()),
    "flushed": (lambda server, _: _do(server, "FLUSHALL"), lambda server, _: None),
    "full": (
        lambda server, _: _do(server, "CONFIG", "SET", "maxmemory", "1"),
        lambda server, _: _do(server, "CONFIG", "SET", "maxmemory", "0"),
    ),
    "unreachable": (lambda _, proxy: proxy.black_hole(), lambda _, proxy: proxy.heal()),
    "slow": (lambda _, proxy: proxy.delay(0.1), lambda _, proxy: None),
    "cut": (lambda _, proxy: proxy.cut(), lambda _, proxy: None),
}


def _do(server: Valkey, *words: str) -> None:
    server.command(*words)


@pytest.fixture(scope="module")
def own_valkey() -> Iterator[Valkey]:
    """A server that tests can kill."""
    with Valkey() as server:
        yield server


@asynccontextmanager
async def sharing(folder: Path, url: str) -> AsyncGenerator[Working]:
    """A worker with a shared limit of calls, by a ledger in Redis."""
    environ = sqlite(folder) | {
        "PACELINE_STRATEGY": "global",
        "PACELINE_STRATEGIES__GLOBAL__CONCURRENCY": str(LIMIT),
        "PACELINE_REDIS__URL": url,
        "PACELINE_REDIS__TIMEOUT": "1",
        "PACELINE_RUN__LEASE": "3",
    }
    async with working(environ, llm={"speed": 100.0}) as it:
        yield it


#: Faults that take the same path through our code as the others.
_LESS_TELLING = ("slow", "cut", "restarted", "unreachable")


@pytest.mark.parametrize(
    "name",
    [pytest.param(it, marks=[pytest.mark.soak] * (it in _LESS_TELLING)) for it in FAULTS],
)
@real_time(limit=None)
async def test_a_run_continues_when_redis_recovers_and_never_exceeds_its_limit(
    name: str, own_valkey: Valkey, tmp_path: Path
) -> None:
    harm, heal = FAULTS[name]

    with Proxy.to(own_valkey.url) as proxy:
        own_valkey.command("FLUSHALL")
        async with sharing(tmp_path, proxy.through(own_valkey.url)) as it:
            run_id = await it.submit(CONCEPTS)
            await it.asked(4)
            await asyncio.to_thread(harm, own_valkey, proxy)
            if name in ("restarted", "full", "unreachable"):
                # A permit may be used and reused until its lease ends.
                await it.at_rest()
                assert it.paid.paid < 3 * CONCEPTS
            await asyncio.to_thread(heal, own_valkey, proxy)
            run = await it.ended(run_id)
            assert (run.status, run.failed, run.fence) == ("completed", 0, 1)
            assert (it.paid.paid, it.paid.paid_again) == (3 * CONCEPTS, 0)
            assert it.paid.in_flight_peak <= LIMIT
            await eventually_async(lambda: not it.worker.parts.gauges.calls, PATIENCE)


@real_time(limit=None)
async def test_a_run_has_released_all_its_permits_when_it_ends(
    own_valkey: Valkey, tmp_path: Path
) -> None:
    own_valkey.command("FLUSHALL")
    async with sharing(tmp_path, own_valkey.url) as it:
        await it.ended(await it.submit(2))
        # The counts of leases by holder, as an outside tool reads them.
        keys = "return #redis.call('KEYS', '*:leases')"
        assert own_valkey.command("EVAL", keys, "0") == "0"
