"""Rows of workers: removed after a long silence, and read from other versions."""

from paceline.contracts.storage.records import Figures
from paceline.testing.contracts.store.inputs import worker
from paceline.testing.virtual_time import real_time

from tests.support.databases import PostgresPlace, SqlPlace


@real_time
async def test_a_removed_worker_is_added_again_by_its_beat(
    sql_place: SqlPlace,
) -> None:
    async with sql_place.store("a") as store, sql_place.store("b") as other:
        await store.register(worker("a"))
        sql_place.advance(601)
        await other.register(worker("b"))
        assert [found.worker_id for found in await other.workers(max_age=1e6)] == ["b"]
        await store.beat("a", Figures(concepts=2), lease=30)
        assert {found.worker_id for found in await other.workers()} == {"a", "b"}


@real_time
async def test_figures_of_another_version_are_read_as_far_as_possible(
    postgres_place: PostgresPlace,
) -> None:
    async with postgres_place.store() as store:
        await store.register(worker("newer"))
        postgres_place.execute("""UPDATE workers SET figures = '{"concepts": 3, "moons": 2}'""")
        (found,) = await store.workers()
        assert found.figures == Figures(concepts=3)
        postgres_place.execute("UPDATE workers SET figures = 'soup'")
        (found,) = await store.workers()
        assert found.figures == Figures()
