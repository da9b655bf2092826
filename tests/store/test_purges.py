"""Purges in SQL: nothing of a run remains in any table, and no transaction is long."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from paceline.contracts.storage.budgets import BudgetLimits, MoneyRequest, MoneySpent
from paceline.contracts.storage.outbox import Rejection
from paceline.contracts.storage.records import Figures, Run
from paceline.contracts.storage.spending import Spent
from paceline.contracts.storage.store import Store
from paceline.testing.contracts.store.inputs import LEASE, artifact, done, must_claim, submitted
from paceline.testing.contracts.store.inputs import worker as worker_record
from paceline.testing.contracts.store.retention import full_run, purge
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql import retention
from paceline_adapters.sql.store import SqlStore
from paceline_adapters.sql.tables import metadata, runs
from sqlalchemy import event, func, select

from tests.support.databases import SqlPlace

#: Tables with rows that belong to no run.
OF_NO_RUN = {
    "sink_states",
    "workers",
    "costs",
    "budget_reservations",
    "controls",
    "control_log",
}


async def tables_that_name(store: Store, run_id: str) -> set[str]:
    """The tables with the run's id anywhere in a text."""
    assert isinstance(store, SqlStore)
    named: set[str] = set()
    async with store._database._engine.connect() as connection:
        for table in metadata.sorted_tables:
            for row in await connection.execute(select(table)):
                if any(run_id in str(value) for value in row):
                    named.add(table.name)
    return named


async def a_full_run(store: Store) -> Run:
    """A run with a row in every table, and a dead letter."""
    run = await full_run(store)
    batch = await store.claim_batch("files", limit=1, lease=LEASE)
    dead = Rejection(id=batch.items[0].delivery.id, reason="no", retry_in=None)
    await store.settle(batch, rejected=[dead])
    await store.register(worker_record("gone"))
    limits = BudgetLimits(common={"run": 10})
    call = MoneyRequest(id="call", run_id=run.run_id, tenant="", key="openai:m", amount=3)
    await store.exchange_money("gone", limits, requests=[call], spent=[])
    await store.exchange_money("gone", limits, requests=[], spent=[MoneySpent(id="call", cost=2)])
    figures = Figures(runs=(run.run_id,), in_flight={run.run_id: Spent(attempts=1)}, calls=7)
    await store.beat("gone", figures, lease=LEASE)
    return run


@real_time
async def test_nothing_of_a_purged_run_remains_in_any_table(sql_place: SqlPlace) -> None:
    async with sql_place.store() as store:
        run = await a_full_run(store)
        before = await tables_that_name(store, run.run_id)
        never = OF_NO_RUN - {"workers"}
        assert before == set(metadata.tables) - never, "the test must fill each table"
        purged = await purge(store, run.run_id)
        assert purged.deliveries > 0
        assert await tables_that_name(store, run.run_id) == set()
        (worker,) = await store.workers()
        assert worker.figures.calls == 7, "other figures of a worker stay"


def test_every_table_belongs_to_a_run_or_is_known_to_belong_to_none() -> None:
    of_run = {table.name for table in retention.PURGED_TABLES}
    assert of_run | OF_NO_RUN | {runs.name} == set(metadata.tables)
    assert not of_run & OF_NO_RUN


@contextmanager
def transactions(store: Store) -> Iterator[list[int]]:
    """The number of rows that each transaction changes."""
    assert isinstance(store, SqlStore)
    changed: list[int] = []

    def on_begin(*_: object) -> None:
        changed.append(0)

    def on_execute(_connection: object, cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(("DELETE", "UPDATE")):
            changed[-1] += getattr(cursor, "rowcount", 0)

    engine = store._database._engine.sync_engine
    event.listen(engine, "begin", on_begin)
    event.listen(engine, "after_cursor_execute", on_execute)
    try:
        yield changed
    finally:
        event.remove(engine, "begin", on_begin)
        event.remove(engine, "after_cursor_execute", on_execute)


async def a_large_run(store: Store, concepts: int = 25) -> Run:
    """An ended run with an artifact for each concept."""
    run = await submitted(store, concepts=concepts)
    claim = await must_claim(store, run.run_id)
    names = [f"c{number}" for number in range(concepts)]
    await asyncio.gather(*(store.save(claim, artifact(id_), concept=done(id_)) for id_ in names))
    await store.finish(claim, "completed")
    return await store.run(run.run_id)


@real_time
async def test_no_transaction_of_a_purge_changes_many_rows(
    sql_place: SqlPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 10)
    async with sql_place.store() as store:
        run = await a_large_run(store)
        with transactions(store) as changed:
            assert (await purge(store, run.run_id)).artifacts == 25
        assert sum(changed) >= 50
        assert max(changed) <= 10


@real_time
async def test_a_purge_that_is_cut_off_anywhere_is_continued(
    sql_place: SqlPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 10)
    async with sql_place.store() as store:
        assert isinstance(store, SqlStore)
        run, other = await a_large_run(store), await a_large_run(store)
        await store.hide(run.run_id)
        cut = 0
        while await store.purgeable(limit=1) and (await store.purgeable())[0].interrupted:
            cut += 1
            task = asyncio.create_task(store.purge(run.run_id))
            before = await _rows(store, run.run_id)
            # Each turn reads the database.
            while not task.done() and await _rows(store, run.run_id) == before:  # noqa: ASYNC110
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
        assert cut > 1, "the purge was never cut off"
        assert await tables_that_name(store, run.run_id) == set()
        assert len(await store.artifacts(other.run_id)) == 25


async def _rows(store: SqlStore, run_id: str) -> int:
    counts = [
        select(func.count()).select_from(table).where(table.c.run_id == run_id)
        for table in retention.PURGED_TABLES
    ]
    async with store._database._engine.connect() as connection:
        return sum([await connection.scalar(query) or 0 for query in counts])
