"""The number of statements does not grow with a run's size."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from paceline.contracts.records import Claim
from paceline.contracts.store import Store
from paceline.testing.contracts.store.inputs import artifact, done, must_claim, submitted
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql.store import SqlStore
from sqlalchemy import event

from tests.store.places import SqlPlace

SIZES = (30, 3000)


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """What is sent to the database meanwhile; an executemany counts once."""
    assert isinstance(store, SqlStore)
    sent: list[str] = []

    def remember(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    engine = store._database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", remember)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", remember)


@real_time
async def test_taking_up_a_run_asks_as_much_whatever_its_size(sql_place: SqlPlace) -> None:
    asked: list[list[str]] = []
    async with sql_place.store() as store:
        for size in SIZES:
            run = await submitted(store, f"r{size}", concepts=size)
            with statements(store) as sent:
                await must_claim(store, run.run_id)
                await store.roadmap(run.run_id)
                assert await store.concepts(run.run_id, status=["completed", "failed"]) == []
                assert await store.artifact_steps(run.run_id) == {}
            asked.append(sent)
    assert asked[0] == asked[1]


@real_time
async def test_saving_together_takes_as_many_statements_whatever_the_run(
    sql_place: SqlPlace,
) -> None:
    async def save(claim: Claim, number: int) -> None:
        await store.save(claim, artifact(f"c{number}"), concept=done(f"c{number}"))

    asked: list[list[str]] = []
    async with sql_place.store() as store:
        for size in SIZES:
            run = await submitted(store, f"r{size}", concepts=size)
            claim = await must_claim(store, run.run_id)
            with statements(store) as sent:
                await asyncio.gather(*(save(claim, number) for number in range(30)))
            asked.append(sent)
    assert asked[0] == asked[1]


@pytest.mark.parametrize("concepts", [2000, 6000])
@real_time
async def test_creating_a_run_writes_its_concepts_by_the_thousand(
    sql_place: SqlPlace, concepts: int
) -> None:
    async with sql_place.store() as store:
        with statements(store) as sent:
            await submitted(store, concepts=concepts)
    assert sum(statement.startswith("INSERT INTO concepts") for statement in sent) <= (
        concepts / 1000
    )
