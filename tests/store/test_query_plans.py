"""No query becomes slower with the number of ended runs."""

import asyncio
import re
import sqlite3
from dataclasses import replace
from typing import Any

from paceline.contracts.scope import Scope
from paceline.contracts.share import Share
from paceline.contracts.storage.budgets import (
    BudgetLimits,
    BudgetScope,
    CostsBy,
    MoneyRequest,
    MoneySpent,
)
from paceline.contracts.storage.outbox import Rejection, SinkOutage, SinkRoute
from paceline.contracts.storage.records import Figures, JournalEntry, Replaced
from paceline.testing.contracts.store.inputs import (
    LEASE,
    artifact,
    charge,
    claimed,
    done,
    must_claim,
    roadmap,
    submitted,
    worker,
)
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql.store import SqlStore
from sqlalchemy import event

from tests.support.databases import SqlitePlace

RESULT = JournalEntry(concept_id="c1", step="tutorial", version=1, name="search", value="[]")
GROWING = re.compile(
    r"SCAN (runs|roadmaps|submissions|concepts|artifacts|past_versions|revisions|journal|charges"
    r"|outbox|earlier|budget_accounts)\b"
)


async def spend(store: SqlStore) -> None:
    """Everything that a store does with money."""
    common: dict[BudgetScope, int] = {"run": 10, "tenant-day": 1000, "day": 1000, "month": 1000}
    limits = BudgetLimits(common=common, keys={"p:m": {"day": 1000}})
    run = await submitted(store, "money", share=Share("acme"))
    claim = await must_claim(store, run.run_id)

    def call(id_: str) -> MoneyRequest:
        return MoneyRequest(id=id_, run_id=run.run_id, tenant="acme", key="p:m", amount=6)

    await store.exchange_money("worker", limits, requests=[call("a")])
    spent = [MoneySpent(id="a", cost=9)]
    answers = await store.exchange_money("worker", limits, requests=[call("b")], spent=spent)
    await store.exchange_money("worker", limits, requests=[replace(call("c"), amount=1)])
    await store.exchange_money("gone", limits, requests=[replace(call("d"), amount=0)])
    assert await store.settle_lost(lease=LEASE) == 1
    await store.pause_short(claim, answers.short["b"], "budget")
    assert await store.resume_affordable("in-process", limits) == ([], "")
    await store.set_budget(run.run_id, 1.0)
    assert await store.resume_affordable("in-process", limits) == ([run.run_id], "")
    await store.resume_affordable("in-process", limits, after=run.run_id)
    await store.account_figures(limits)
    await store.account_figures(limits, tenants=["acme"])
    await store.costs_of_steps()
    names: tuple[CostsBy, ...] = ("run", "tenant", "model", "step", "day")
    for by in names:
        await store.costs(by)
        await store.costs(by, tenants=["acme"], limit=20)
        await store.costs(by, since="2026-01-01", until="2026-12-31")


@real_time
async def test_every_statement_uses_an_index(sqlite_place: SqlitePlace) -> None:
    statements: dict[str, Any] = {}

    def remember(*event_arguments: Any) -> None:
        _connection, _cursor, statement, parameters, _context, many = event_arguments
        statements[statement] = parameters[0] if many else parameters

    async with sqlite_place.store() as store:
        assert isinstance(store, SqlStore)
        event.listen(store._database._engine.sync_engine, "before_cursor_execute", remember)
        store.deliver_to([SinkRoute(sink="files")])
        await store.admit_workers([worker()])
        await store.register(worker())
        claim = await claimed(store)
        await store.create_run(roadmap(), executor="x")
        await store.create_run(roadmap(), executor="x", share=Share("acme"))
        await store.save(claim, artifact(), concept=done())
        batch = await store.claim_batch("files", limit=10, lease=LEASE)
        refused = Rejection(id=batch.items[0].delivery.id, reason="no", retry_in=10.0)
        await store.settle(batch, rejected=[refused], outage=SinkOutage(reason="no", retry_in=0))
        await store.claim_batch("files", limit=10, lease=LEASE)
        await store.sink_figures()
        await store.undelivered(sink="files")
        await store.beat("worker", Figures(runs=(claim.run_id,)), lease=LEASE)
        await store.run(claim.run_id)
        await store.runs()
        await store.runs(status=["queued", "running"], before=claim.run_id)
        await store.runs(roadmap_id="r", before=claim.run_id)
        await store.runs(tenants=["a", "b"])
        await store.runs(tenants=["a"], before=claim.run_id)
        await store.runs(tenants=["a"], status=["queued"], before=claim.run_id)
        await store.runs(tenants=["a"], roadmap_id="r")
        await store.roadmap(claim.run_id)
        await store.concepts(claim.run_id)
        await store.artifact_steps(claim.run_id)
        await store.run_paces([claim.run_id])
        await store.artifacts(claim.run_id, concept_id="c0", step="quiz")
        await store.charge(claim, charge())
        await store.spending(claim.run_id)
        (orphan,) = await store.orphans()
        await store.requeue_orphan(orphan, poison_after=3)
        again = await store.claim_next("in-process", "worker", lease=LEASE)
        assert again is not None
        await store.claim_next("in-process", "worker", lease=LEASE, only=[claim.run_id])
        await store.request_cancel(claim.run_id)
        await store.request_pause(claim.run_id, "why")
        await store.hand_back(again)
        await store.reopen(claim.run_id, executor="x", only="failed")
        claim = await must_claim(store, claim.run_id)
        await store.record(claim, RESULT)
        await store.journal(claim.run_id, "c1")
        await store.save(claim, artifact("c1"), concept=done("c1"), replaced=Replaced(journal=True))
        await store.finish(claim, "completed")
        part = await submitted(store, "part")
        await store.extend(part, Scope(), executor="x", roadmap=roadmap("part"), steps=["quiz"])
        await submitted(store, "other")
        await store.workers()
        await store.budget()
        await store.purgeable(tenants=["a", "b"])
        await store.purgeable(tenants=["a"], older_than=60.0)
        (ended,) = await store.purgeable(older_than=-60.0)
        await store.purgeable(older_than=60.0, after=ended)
        await store.hide(claim.run_id)
        await store.purge(claim.run_id)
        await spend(store)
        await store.deregister("worker")

    assert len(statements) > 30
    interrupted = False
    connection = sqlite3.connect(sqlite_place.path)
    for statement, parameters in statements.items():
        if statement.startswith(("BEGIN", "PRAGMA")):
            continue
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
        for *_, step in plan:
            # Reading a page along an index is not a full scan.
            paged = step.startswith("SCAN runs USING INDEX") and "LIMIT" in statement
            assert paged or not GROWING.match(step), (statement, step)
        if "purging = 1 ORDER BY" in statement:
            assert any("ix_runs_purging" in step for *_, step in plan), (statement, plan)
            interrupted = True
    assert interrupted
    connection.close()


@real_time
async def test_only_a_save_of_a_step_with_a_journal_deletes_from_it(
    sqlite_place: SqlitePlace,
) -> None:
    statements: list[str] = []

    def remember(*event_arguments: Any) -> None:
        statements.append(event_arguments[2])

    async with sqlite_place.store() as store:
        assert isinstance(store, SqlStore)
        claim = await claimed(store)
        await store.record(claim, RESULT)
        event.listen(store._database._engine.sync_engine, "before_cursor_execute", remember)
        await store.save(claim, artifact("c0"), concept=done("c0"))
        assert not any("journal" in statement for statement in statements)
        saves = [
            store.save(claim, artifact("c1"), concept=done("c1"), replaced=Replaced(journal=True)),
            store.save(claim, artifact("c2"), concept=done("c2"), replaced=Replaced(journal=True)),
        ]
        statements.clear()
        await asyncio.gather(*saves)
        assert len([one for one in statements if one.startswith("DELETE FROM journal")]) == 1
        assert await store.journal(claim.run_id, "c1") == []
