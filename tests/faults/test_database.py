"""A database that restarts, is full, read-only, slow or unreachable: paid answers wait."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from paceline.testing.proxy import Proxy
from paceline.testing.servers import Postgres
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql import schema
from pydantic import SecretStr

from tests.support.real_worker import Working, sqlite, working

CONCEPTS = 12


@dataclass(frozen=True, slots=True)
class Place:
    """A PostgreSQL server and the proxy in front of it."""

    server: Postgres
    proxy: Proxy
    database: str
    held: AsyncExitStack

    @property
    def direct(self) -> str:
        """Its URL without the proxy, for a plain client."""
        return self.server.url_of(self.database, "postgresql")


async def _restart(place: Place) -> None:
    await asyncio.to_thread(place.server.kill)


async def _started(place: Place) -> None:
    await asyncio.to_thread(place.server.restart)


def _read_only(value: str) -> Callable[[Place], Awaitable[None]]:
    async def change(place: Place) -> None:
        order = f"ALTER SYSTEM SET default_transaction_read_only = {value}"
        await asyncio.to_thread(place.server.execute, order)
        await asyncio.to_thread(place.server.execute, "SELECT pg_reload_conf()")

    return change


async def _take_all(place: Place) -> None:
    place.proxy.cut()
    while True:
        try:
            taken: Any = await asyncpg.connect(place.direct)
        except asyncpg.TooManyConnectionsError:
            return
        place.held.push_async_callback(taken.close)


async def _give_all(place: Place) -> None:
    await place.held.aclose()


async def _black_hole(place: Place) -> None:
    place.proxy.black_hole()


async def _heal(place: Place) -> None:
    place.proxy.heal()


FAULTS = {
    "restarted": (_restart, _started),
    "out of connections": (_take_all, _give_all),
    "read-only": (_read_only("on"), _read_only("off")),
    "unreachable": (_black_hole, _heal),
}


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    """A server with few connections that tests can kill."""
    with Postgres(max_connections=14) as server:
        yield server


@pytest.fixture
def place(own_postgres: Postgres) -> Iterator[Place]:
    url = own_postgres.create_database("own")
    schema.upgrade(SecretStr(url))
    with Proxy.to(url) as proxy:
        yield Place(own_postgres, proxy, "own", AsyncExitStack())
    own_postgres.drop_database("own")


@asynccontextmanager
async def saving(environ: dict[str, str], *, speed: float = 40.0) -> AsyncGenerator[Working]:
    """A worker with all concepts in flight at the same time."""
    async with working(environ | {"PACELINE_STRATEGY": "unbounded"}, llm={"speed": speed}) as it:
        yield it


def through(place: Place) -> dict[str, str]:
    """Settings that reach the database through the proxy."""
    return {
        "PACELINE_STORE__URL": place.proxy.through(place.server.url_of(place.database)),
        "PACELINE_STORE__RESERVE": "0",
        "PACELINE_STORE__POOL_SIZE": "3",
        "PACELINE_STORE__MAX_OVERFLOW": "0",
        "PACELINE_STORE__CONNECT_TIMEOUT": "2",
    }


@pytest.mark.parametrize("name", FAULTS)
@real_time(limit=None)
async def test_a_database_outage_shorter_than_the_lease_loses_no_paid_answer(
    name: str, place: Place
) -> None:
    harm, heal = FAULTS[name]

    async with saving(through(place)) as it:
        run_id = await it.submit(CONCEPTS)
        await it.asked(3)
        await harm(place)
        await it.at_rest()  # each concept has an answer that cannot be saved
        await heal(place)
        run = await it.ended(run_id)
        assert (run.status, run.fence) == ("completed", 1), run.reason
        assert (it.paid.paid, it.paid.paid_again) == (3 * CONCEPTS, 0)


@real_time(limit=None)
async def test_a_slow_database_only_slows_a_run_down(place: Place) -> None:
    async with saving(through(place)) as it:
        place.proxy.delay(0.02)
        run = await it.ended(await it.submit(CONCEPTS))
        assert (run.status, run.fence) == ("completed", 1)
        assert (it.paid.paid, it.paid.paid_again) == (3 * CONCEPTS, 0)


@real_time(limit=None)
async def test_a_hundred_and_eighty_concepts_share_a_pool_of_two(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    more = through(place) | {
        "PACELINE_STORE__POOL_SIZE": "2",
        # Much longer than the work takes, so a useless wait would fail the test.
        "PACELINE_STORE__POOL_TIMEOUT": "5",
    }
    async with saving(more, speed=8.0) as it:  # all calls start long before the first one ends
        run = await it.ended(await it.submit(180))
        assert (run.status, run.completed, run.fence) == ("completed", 180, 1)
        assert it.paid.in_flight_peak == 180
        pool = it.worker.parts.store.pool()
        assert (pool.limit, pool.peak <= 2) == (2, True)
        assert it.paid.paid_again == 0
    timeouts = [one for one in caplog.messages if "stayed in use" in one]
    assert timeouts == []


@real_time(limit=None)
async def test_a_run_waits_for_an_sqlite_file_locked_by_another_process(
    tmp_path: Path,
) -> None:
    async with saving(sqlite(tmp_path)) as it:
        run_id = await it.submit(CONCEPTS)
        await it.asked(3)
        other = sqlite3.connect(
            tmp_path / "paceline.db", isolation_level=None, check_same_thread=False
        )
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
        await it.at_rest()
        other.execute("ROLLBACK")
        other.close()
        run = await it.ended(run_id)
        assert (run.status, run.fence) == ("completed", 1)
        assert (it.paid.paid, it.paid.paid_again) == (3 * CONCEPTS, 0)
