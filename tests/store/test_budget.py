"""Connections: counted in each process, and added up over all processes before the start."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from paceline.contracts.identity import ProcessIdentity
from paceline.contracts.storage.records import WorkerRecord
from paceline.errors import BudgetError
from paceline.testing.contracts.store.inputs import worker
from paceline.testing.servers import Postgres
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql import schema
from paceline_adapters.sql.connections import PoolShape, pool_shape
from paceline_adapters.sql.store import SqlStore

from tests.support.databases import Place, PostgresPlace, SqlPlace

ELSEWHERE = ProcessIdentity("elsewhere/1", 1, 1.0)


def workers(
    count: int, name: str = "w", *, identity: ProcessIdentity = ELSEWHERE
) -> list[WorkerRecord]:
    return [worker(f"{name}{n}", identity=identity, pool_max=0) for n in range(count)]


@real_time
async def test_workers_that_fit_get_full_pools(postgres_place: PostgresPlace) -> None:
    async with postgres_place.store(pool_size=4, max_overflow=6) as store:
        assert await store.admit_workers(workers(8)) == (10, None)
        assert [found.pool_max for found in await store.workers()] == [10] * 8
        budget = await store.budget()
        assert (budget.server_max, budget.reserve, budget.registered, budget.free) == (
            97,
            10,
            80,
            7,
        )


@real_time
async def test_pools_that_do_not_fit_are_reduced_and_the_sum_is_shown(
    postgres_place: PostgresPlace,
) -> None:
    async with postgres_place.store() as store:
        each, warning = await store.admit_workers(workers(8))
        assert each == 5
        assert warning == (
            "database pools sized down to 5 for each process: 8 processes × (10 + 20) "
            "+ 10 reserved + 0 already registered = 250, but the server allows 97"
        )
        each, warning = await store.admit_workers(workers(3, "late"))
        assert each == 7
        assert warning is not None
        assert "3 processes × (10 + 20) + 10 reserved + 40 already registered = 140" in warning


@real_time
async def test_workers_with_default_pools_start_one_after_the_other(
    postgres_place: PostgresPlace,
) -> None:
    async with postgres_place.store() as store:
        shares = [(await store.admit_workers(workers(1, f"w{n}")))[0] for n in range(8)]
        assert shares == [30, 30, 13, 7, 3, 2, 1, 1]


@real_time
async def test_with_budget_refuse_nothing_is_registered(postgres_place: PostgresPlace) -> None:
    async with postgres_place.store(budget="refuse") as store:
        with pytest.raises(BudgetError) as refused:
            await store.admit_workers(workers(8))
        assert str(refused.value) == (
            "database connections: 8 processes × (10 + 20) + 10 reserved + 0 already registered "
            "= 250, but the server allows 97; start fewer processes, lower store.pool_size and "
            'store.max_overflow, set store.budget = "shrink", '
            "or raise the server's max_connections"
        )
        assert await store.workers() == []
        assert await store.admit_workers(workers(2)) == (30, None)


@real_time
async def test_workers_without_one_connection_each_do_not_start(
    postgres_place: PostgresPlace,
) -> None:
    async with postgres_place.store() as store:
        with pytest.raises(BudgetError, match=r"88 processes .* = 2650, but the server allows 97"):
            await store.admit_workers(workers(88))
        assert (await store.admit_workers(workers(87)))[0] == 1
        with pytest.raises(BudgetError, match="87 already registered"):
            await store.admit_workers(workers(1, "late"))


@real_time
async def test_admitting_a_worker_again_replaces_its_connections(
    postgres_place: PostgresPlace,
) -> None:
    async with postgres_place.store() as store:
        first = await store.admit_workers(workers(8))
        assert await store.admit_workers(workers(8)) == first
        assert len(await store.workers()) == 8


@real_time
async def test_connections_of_dead_workers_do_not_count(postgres_place: PostgresPlace) -> None:
    async with postgres_place.store() as store:
        gone = replace(worker().identity, started=1.0)  # this pid, long ago
        await store.admit_workers(workers(2, "killed", identity=gone))
        await store.admit_workers(workers(1, "silent"))
        assert (await store.budget()).registered == 30
        postgres_place.advance(16)
        assert (await store.budget()).registered == 0
        assert await store.admit_workers(workers(2)) == (30, None)


@real_time
async def test_processes_that_start_at_once_get_different_connections(
    postgres_place: PostgresPlace,
) -> None:
    async with postgres_place.store("a") as one, postgres_place.store("b") as two:
        answers = await asyncio.gather(
            *(store.admit_workers(workers(1, f"p{n}")) for n in range(3) for store in [one, two]),
            return_exceptions=True,
        )
        # Each name is admitted twice, and the second admission replaces the first.
        assert len(answers) == 6
        assert (await one.budget()).registered <= 87


@pytest.fixture(scope="module")
def small_server() -> Iterator[Postgres]:
    settings = {"superuser_reserved_connections": "2", "reserved_connections": "3"}
    with Postgres(max_connections=20, settings=settings) as server:
        yield server


@real_time
async def test_connections_reserved_by_the_server_do_not_count(
    small_server: Postgres,
) -> None:
    small_server.execute("CREATE DATABASE narrow OWNER paceline CONNECTION LIMIT 7")
    small_server.create_database("wide")
    for name, limit in (("wide", 15), ("narrow", 7)):
        place = PostgresPlace(small_server, small_server.url_of(name))
        await asyncio.to_thread(schema.upgrade, place.settings().url)
        async with place.store() as store:
            assert (await store.budget()).server_max == limit


@real_time
async def test_an_embedded_database_has_no_limit(embedded_place: Place) -> None:
    async with embedded_place.store() as store:
        each, warning = await store.admit_workers(workers(100))
        assert each >= 1
        assert warning is None
        assert len(await store.workers()) == 100
        budget = await store.budget()
        assert (budget.server_max, budget.free) == (None, None)


# -- one process's pool ------------------------------------------------------------------


def test_a_pool_is_bounded_by_settings_admission_and_use(sqlite_place: SqlPlace) -> None:
    settings = sqlite_place.settings()

    def shape(
        limit: int | None = None, *, worker: bool = True, embedded: bool = False
    ) -> PoolShape:
        return pool_shape(settings, embedded=embedded, worker=worker, limit=limit)

    assert shape() == PoolShape(10, 20)
    assert shape(15) == PoolShape(10, 5)
    assert shape(7) == PoolShape(7, 0)
    assert shape(100) == PoolShape(10, 20)
    assert shape(0) == PoolShape(1, 0)
    assert shape(worker=False) == PoolShape(2, 0)
    assert shape(4, worker=False) == PoolShape(4, 0)
    assert shape(embedded=True) == PoolShape(5, 0)


@real_time
async def test_the_pool_counts_connections_in_use(sql_place: SqlPlace) -> None:
    def counted(store: SqlStore) -> tuple[int, int, int, int]:
        pool = store.pool()
        return pool.limit, pool.in_use, pool.peak, sum(pool.waits.values())

    async with sql_place.store(pool_limit=3) as store:
        assert isinstance(store, SqlStore)
        used = sum(store.pool().waits.values())
        assert counted(store) == (3, 0, 1, used)
        connect = store._database._reader.connect
        async with connect(), connect():
            assert counted(store) == (3, 2, 2, used)
            async with connect():
                assert store.pool().in_use == 3
            await store.runs()
        assert counted(store) == (3, 0, 3, used + 1)


@real_time
async def test_a_client_uses_two_connections(sql_place: SqlPlace) -> None:
    async with sql_place.store("") as store:
        await asyncio.gather(*(store.runs() for _ in range(20)))
        assert store.pool().limit == 2
        assert store.pool().peak <= 2
