"""Workers: known while they beat, with what they report, and forgotten when they leave."""

from dataclasses import replace

import pytest
from paceline.identity import ProcessIdentity, this_process
from paceline.store import Beat, Figures

from tests.store.places import Place, PostgresPlace, SqlPlace, on_loop, worker


@on_loop
async def test_a_registered_worker_is_listed_as_it_said(place: Place) -> None:
    async with place.store() as store:
        record = replace(
            worker("me", identity=ProcessIdentity("host/1", 4711, 1234.5), pool_max=7),
            shared_limits=True,
            concurrency=3,
        )
        await store.register(record)
        (found,) = await store.workers()
        assert 0 <= found.beat_age < 10
        assert replace(found, beat_age=0.0) == record


@on_loop
async def test_a_beat_reports_figures(place: Place) -> None:
    async with place.store() as store:
        await store.register(worker("me"))
        figures = Figures(
            runs=("a", "b"),
            concepts=5,
            calls=4,
            connections=3,
            connections_peak=9,
            events=100,
            events_per_second=2.5,
            strategy="per-roadmap: 5 of 8",
            rss=2**33,
        )
        await store.beat("me", figures, lease=30)
        (found,) = await store.workers()
        assert found.figures == figures


@on_loop
async def test_a_silent_worker_is_listed_no_more(place: Place) -> None:
    async with place.store() as store:
        await store.register(worker("silent"))
        place.advance(20)
        await store.register(worker("loud"))
        assert [found.worker_id for found in await store.workers()] == ["loud"]
        aged = {found.worker_id: found.beat_age for found in await store.workers(max_age=60)}
        assert aged["silent"] == pytest.approx(20, abs=10)
        await store.beat("silent", Figures(), lease=30)
        assert len(await store.workers()) == 2


@on_loop
async def test_a_worker_that_was_killed_here_is_listed_no_more(place: Place) -> None:
    mine = this_process()
    killed = replace(mine, started=mine.started - 1000)  # its pid is another process's by now
    async with place.store() as store:
        await store.register(worker("killed", identity=killed))
        await store.register(worker("elsewhere", identity=replace(killed, host="elsewhere/1")))
        assert [found.worker_id for found in await store.workers()] == ["elsewhere"]
        assert (await store.budget()).registered == worker("elsewhere").pool_max


@on_loop
async def test_registering_again_replaces_what_was_known(place: Place) -> None:
    async with place.store() as store:
        await store.register(worker("me", pool_max=5))
        await store.register(worker("me", pool_max=9))
        assert [found.pool_max for found in await store.workers()] == [9]


@on_loop
async def test_a_worker_that_left_is_gone(place: Place) -> None:
    async with place.store() as store:
        await store.register(worker("me"))
        await store.deregister("me")
        await store.deregister("never-there")
        assert await store.workers(max_age=1e6) == []
        assert await store.beat("me", Figures(), lease=30) == Beat()
        assert await store.workers() == []


@on_loop
async def test_long_gone_workers_are_forgotten_and_come_back_with_a_beat(
    sql_place: SqlPlace,
) -> None:
    async with sql_place.store("a") as store, sql_place.store("b") as other:
        await store.register(worker("a"))
        sql_place.advance(601)
        await other.register(worker("b"))
        assert [found.worker_id for found in await other.workers(max_age=1e6)] == ["b"]
        await store.beat("a", Figures(concepts=2), lease=30)
        assert {found.worker_id for found in await other.workers()} == {"a", "b"}


@on_loop
async def test_figures_of_another_version_are_no_error(postgres_place: PostgresPlace) -> None:
    async with postgres_place.store() as store:
        await store.register(worker("newer"))
        postgres_place.execute("""UPDATE workers SET figures = '{"concepts": 3, "moons": 2}'""")
        (found,) = await store.workers()
        assert found.figures == Figures(concepts=3)
        postgres_place.execute("UPDATE workers SET figures = 'soup'")
        (found,) = await store.workers()
        assert found.figures == Figures()
