"""A pooler that gives each transaction to any session of the server."""

import asyncio

import pytest
from paceline.errors import PartUnavailable
from paceline.testing.contracts.store.inputs import artifact, claimed, done, worker
from paceline.testing.servers import Postgres
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql import schema
from paceline_adapters.sql.store import SqlStore
from sqlalchemy import text

from tests.support.databases import PostgresPlace
from tests.support.pgbouncer import PgBouncer


@real_time
async def test_the_schema_is_created_through_a_pooler(
    postgres_server: Postgres, pgbouncer: PgBouncer
) -> None:
    url = pgbouncer.through(postgres_server.create_database("through_pooler"))
    place = PostgresPlace(postgres_server, url)
    settings = place.settings(schema_name="apart")
    upgrades = [asyncio.to_thread(schema.upgrade, settings.url, settings) for _ in range(3)]
    assert (await asyncio.gather(*upgrades))[0][1] == schema.NEWEST
    async with place.store(schema_name="apart") as store:
        await claimed(store)
    postgres_server.drop_database("through_pooler")


@real_time
async def test_many_connections_share_few_sessions_without_mixing_statements(
    pooled_place: PostgresPlace,
) -> None:
    async with (
        pooled_place.store("one", pool_limit=8) as one,
        pooled_place.store("two", pool_limit=8) as two,
    ):
        claims = [await claimed(one), await claimed(two, "other")]
        for n in range(10):
            await asyncio.gather(
                *(
                    store.save(claim, artifact(f"c{n}"), concept=done(f"c{n}"))
                    for store, claim in zip((one, two), claims, strict=True)
                ),
                *(store.run(claim.run_id) for store in (one, two) for claim in claims),
                *(store.runs(limit=limit) for store in (one, two) for limit in range(1, 5)),
                *(store.workers() for store in (one, two)),
            )


@real_time
async def test_no_setting_of_ours_stays_in_a_session(pooled_place: PostgresPlace) -> None:
    async with pooled_place.store(lease=30.0) as store:
        assert isinstance(store, SqlStore)
        limit = text("SELECT current_setting('lock_timeout')")
        inside = await store._database.write(lambda connection: connection.scalar(limit))
        after = await store._database.read(lambda connection: connection.scalar(limit))
        assert (inside, after) == ("10s", "0")


@real_time
async def test_workers_are_admitted_one_at_a_time(pooled_place: PostgresPlace) -> None:
    async with pooled_place.store("a") as a, pooled_place.store("b") as b:
        await asyncio.gather(
            *(store.admit_workers([worker(f"{n}")]) for n in range(6) for store in (a, b))
        )
        assert len(await a.workers()) == 6


@real_time
async def test_the_pooler_is_found_and_named(
    pooled_place: PostgresPlace, postgres_place: PostgresPlace
) -> None:
    async with pooled_place.store() as store:
        [found] = store.findings()
        assert (found.level, found.part) == ("ok", "store")
        assert "pooler" in found.text
        # The server's limit counts the pooler's connections, not ours.
        assert (await store.budget()).server_max is None
    async with postgres_place.store() as store:
        assert store.findings() == []
        assert (await store.budget()).server_max is not None
    forced = f"{postgres_place.url}?prepared_statement_cache_size=0"
    async with PostgresPlace(postgres_place.server, forced).store() as store:
        assert len(store.findings()) == 1


@real_time
async def test_options_that_the_pooler_rejects_are_one_line_with_advice(
    pooled_place: PostgresPlace,
) -> None:
    place = PostgresPlace(pooled_place.server, f"{pooled_place.url}?options=-c%20work_mem%3D5MB")
    with pytest.raises(PartUnavailable, match=r"pooler .* rejects options: .* ALTER ROLE"):
        async with place.store():
            pass


@real_time
async def test_a_restarted_pooler_is_waited_for(
    postgres_place: PostgresPlace, postgres_server: Postgres
) -> None:
    with PgBouncer(postgres_server) as own:
        place = PostgresPlace(postgres_server, own.through(postgres_place.url))
        async with place.store() as store:
            claim = await claimed(store)
            await asyncio.to_thread(own.kill)
            saved = asyncio.create_task(store.save(claim, artifact(), concept=done()))
            await asyncio.to_thread(own.restart)
            await saved
            assert (await store.run(claim.run_id)).completed == 1
