"""A sink that writes to its own table in the transaction of the artifact."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from paceline import Delivery, PluginError, SettingsError
from paceline.contracts.sink import TransactionalSink
from paceline.contracts.storage.outbox import SinkRoute
from paceline.contracts.storage.store import Store
from paceline.testing.contracts.store.inputs import artifact, claimed
from paceline.testing.scripted import ScriptedProvider
from paceline.testing.virtual_time import real_time
from paceline_adapters.memory.store import MemoryStore
from paceline_adapters.sql.store import SqlStore
from sqlalchemy import text

from tests.support.databases import SqlPlace
from tests.support.memory_worker import a_roadmap, rig
from tests.test_docs import example_plugins

TABLE = (
    "CREATE TABLE lessons (run_id TEXT, concept_id TEXT, step TEXT, version INTEGER, "
    "content TEXT CHECK (content <> 'forbidden'), PRIMARY KEY (run_id, concept_id, step))"
)


def lessons() -> TransactionalSink:
    """The sink of the documentation."""
    sink: TransactionalSink = example_plugins()["lessons"].Lessons()
    return sink


async def prepared(store: Store, sink: TransactionalSink) -> SqlStore:
    assert isinstance(store, SqlStore)
    await store._database.write(lambda connection: connection.execute(text(TABLE)))
    store.write_with([(SinkRoute(sink="lessons"), sink)])
    return store


async def rows(store: SqlStore) -> list[tuple[Any, ...]]:
    query = text("SELECT concept_id, step, version, content FROM lessons ORDER BY 1, 2")
    found = await store._database.read(lambda connection: connection.execute(query))
    return [tuple(row) for row in found]


@real_time
async def test_the_row_and_the_artifact_are_committed_together(sql_place: SqlPlace) -> None:
    async with sql_place.store() as opened:
        store = await prepared(opened, lessons())
        claim = await claimed(store)
        await store.save(claim, artifact("c1", content="one"), concept=None)
        await store.save(claim, artifact("c1", content="two"), concept=None)
        assert await rows(store) == [("c1", "tutorial", 1, "one")]


@real_time
async def test_a_fault_fails_that_artifact_and_no_other(sql_place: SqlPlace) -> None:
    async with sql_place.store() as opened:
        store = await prepared(opened, lessons())
        claim = await claimed(store, concepts=9)
        saved = await asyncio.gather(
            *(
                store.save(
                    claim, artifact(f"c{n}", content="forbidden" if n == 4 else "x"), concept=None
                )
                for n in range(9)
            ),
            return_exceptions=True,
        )
        failed = [one for one in saved if one is not None]
        assert [type(one) for one in failed] == [PluginError]
        assert str(failed[0]).startswith("sink lessons could not write the artifact: ")
        made = {one.concept_id for one in await store.artifacts(claim.run_id)}
        assert made == {f"c{n}" for n in range(9) if n != 4}
        assert {row[0] for row in await rows(store)} == made


@real_time
async def test_its_concept_fails_with_the_reason_and_the_run_goes_on(sql_place: SqlPlace) -> None:
    class Refuses(TransactionalSink):
        async def write(self, connection: Any, deliveries: Sequence[Delivery]) -> None:
            if any(one.concept_id == "c1" for one in deliveries):
                raise KeyError("no shelf")

    async with sql_place.store() as opened:
        store = await prepared(opened, Refuses())
        async with rig(ScriptedProvider(), store=store) as it:  # type: ignore[arg-type]
            run = await it.generate(a_roadmap(3))
        assert (run.status, run.completed, run.failed) == ("partial", 2, 1)
        state = await store.concept(run.run_id, "c1")
        assert state is not None
        assert state.reason is not None
        assert "sink lessons could not write the artifact: KeyError: 'no shelf'" in state.reason


def test_a_store_without_transactions_says_so() -> None:
    with pytest.raises(SettingsError, match=r"sinks.lessons writes in the transaction"):
        MemoryStore().write_with([(SinkRoute(sink="lessons"), lessons())])
