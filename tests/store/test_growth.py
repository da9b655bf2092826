"""The number of statements does not grow with a run's size."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from paceline.contracts.storage.records import Claim
from paceline.contracts.storage.store import Store
from paceline.testing.contracts.store.inputs import artifact, done, must_claim, submitted
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql.store import SqlStore
from sqlalchemy import event

from tests.support.databases import SqlPlace

SIZES = (30, 3000)


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """The statements that are sent to the database; an executemany counts once."""
    assert isinstance(store, SqlStore)
    sent: list[str] = []

    def record(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    engine = store._database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", record)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", record)


@real_time
async def test_claiming_and_reading_a_run_takes_the_same_statements_for_any_size(
    sql_place: SqlPlace,
) -> None:
    by_size: list[list[str]] = []
    async with sql_place.store() as store:
        for size in SIZES:
            run = await submitted(store, f"r{size}", concepts=size)
            with statements(store) as sent:
                await must_claim(store, run.run_id)
                await store.roadmap(run.run_id)
                assert await store.concepts(run.run_id, status=["completed", "failed"]) == []
                assert await store.artifact_steps(run.run_id) == {}
            by_size.append(sent)
    assert by_size[0] == by_size[1]


@real_time
async def test_concurrent_saves_take_the_same_statements_for_any_size(
    sql_place: SqlPlace,
) -> None:
    async def save(claim: Claim, number: int) -> None:
        await store.save(claim, artifact(f"c{number}"), concept=done(f"c{number}"))

    by_size: list[list[str]] = []
    async with sql_place.store() as store:
        for size in SIZES:
            run = await submitted(store, f"r{size}", concepts=size)
            claim = await must_claim(store, run.run_id)
            with statements(store) as sent:
                await asyncio.gather(*(save(claim, number) for number in range(30)))
            by_size.append(sent)
    assert by_size[0] == by_size[1]


@pytest.mark.parametrize("concepts", [2000, 6000])
@real_time
async def test_creating_a_run_inserts_its_concepts_in_large_batches(
    sql_place: SqlPlace, concepts: int
) -> None:
    async with sql_place.store() as store:
        with statements(store) as sent:
            await submitted(store, concepts=concepts)
    assert sum(statement.startswith("INSERT INTO concepts") for statement in sent) <= (
        concepts / 1000
    )
