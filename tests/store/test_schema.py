"""The schema: SQLite is upgraded automatically, PostgreSQL on request."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from paceline.contracts.scope import Scope
from paceline.contracts.share import Share
from paceline.contracts.storage.budgets import CostsBy
from paceline.contracts.storage.records import JournalEntry
from paceline.contracts.storage.spending import Spent
from paceline.errors import PartUnavailable, SchemaVersionError
from paceline.testing.contracts.store.inputs import (
    artifact,
    charge,
    claimed,
    done,
    roadmap,
    worker,
)
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql import schema
from paceline_adapters.sql.engine import single_connection
from paceline_adapters.sql.tables import metadata
from paceline_adapters.sql.url import parse_url
from paceline_adapters.sql.versions import VERSION_TABLE
from pydantic import SecretStr
from sqlalchemy import Connection, text

from tests.support.databases import PostgresPlace, SqlitePlace, SqlPlace

BY: tuple[CostsBy, ...] = ("tenant", "model", "step", "day")
_BEFORE_TIMELINES = [
    *(
        f"ALTER TABLE {table} DROP COLUMN {name}"
        for table in ("artifacts", "past_versions")
        for name in ("saving", "phases")
    ),
    *(f"ALTER TABLE charges DROP COLUMN {name}" for name in ("seconds", "phases", "charged_at")),
    "ALTER TABLE workers DROP COLUMN open_steps",
]
_BEFORE_CONTROLS = [
    "DROP TABLE controls",
    "DROP TABLE control_log",
    *(f"DROP INDEX ix_runs_{name}" for name in ("held", "queued")),
    "ALTER TABLE workers DROP COLUMN drain",
    *(f"ALTER TABLE runs DROP COLUMN {name}" for name in ("held", "priority", "claim_order")),
    "CREATE INDEX ix_runs_queued ON runs (executor, run_id) WHERE status = 'queued'",
]
_BEFORE_BUDGETS = [
    *(f"DROP TABLE {name}" for name in ("budget_accounts", "budget_reservations", "costs")),
    "DROP INDEX ix_runs_short_of",
    *(f"ALTER TABLE runs DROP COLUMN {name}" for name in ("budget", "short_of")),
]
_BEFORE_PURGES = [
    *(
        f"DROP INDEX ix_{name}"
        for name in (
            *("runs_ended", "runs_tenant_ended", "runs_purging", "submissions_run_id"),
            *("artifacts_adopted_from", "past_versions_adopted_from"),
        )
    ),
    "ALTER TABLE runs DROP COLUMN purging",
]
_BEFORE_OUTBOX = [
    "DROP TABLE outbox",
    "DROP TABLE sink_states",
    "ALTER TABLE runs DROP COLUMN ends",
]
_BEFORE_VERSIONS = [
    "DROP TABLE past_versions",
    "DROP TABLE revisions",
    "DROP INDEX ix_artifacts_input_hash",
    *(
        f"ALTER TABLE artifacts DROP COLUMN {name}"
        for name in (
            *("version", "prompt_hash", "input_hash", "instruction", "tenant", "requested_by"),
            *("adopted_from", "fence", "changes", "stale"),
        )
    ),
]
_BEFORE_JOURNAL = [
    "DROP TABLE journal",
    "ALTER TABLE artifacts DROP COLUMN fallback",
    *(f"ALTER TABLE runs DROP COLUMN {name}" for name in ("context", "scope", "extended")),
]
_BEFORE_SPENDING = [
    "DROP TABLE charges",
    "ALTER TABLE artifacts DROP COLUMN estimated",
    *(
        f"ALTER TABLE runs DROP COLUMN {name}"
        for name in ("pause_requested", "claimed_at", "seconds")
    ),
]


async def downgrade(place: SqlPlace, version: str) -> None:
    """Change the schema to an earlier version, which paceline itself never does."""
    statements = list(_BEFORE_TIMELINES)
    if version < "0012":
        statements += _BEFORE_CONTROLS
    if version < "0011":
        statements += _BEFORE_BUDGETS
    if version < "0010":
        statements += _BEFORE_PURGES
    if version < "0009":
        statements += _BEFORE_OUTBOX
    if version < "0008":
        statements += _BEFORE_VERSIONS
    if version < "0007":
        statements += _BEFORE_JOURNAL
    if version < "0006":
        statements += _BEFORE_SPENDING
    if version < "0005":
        statements.append(
            "ALTER TABLE workers ADD COLUMN shared_limits BOOLEAN NOT NULL DEFAULT false"
        )
    if version < "0004":
        statements += [
            f"DROP INDEX ix_runs_tenant{name}_run_id" for name in ("", "_status", "_roadmap_id")
        ]
    if version < "0003":
        statements += [f"ALTER TABLE runs DROP COLUMN {name}" for name in ("tenant", "weight")]
    statements.append(f"UPDATE paceline_version SET version_num = '{version}'")
    engine = single_connection(parse_url(place.settings().url), place.settings())
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


def test_every_schema_version_is_known_and_has_its_migration() -> None:
    script = ScriptDirectory(str(schema.MIGRATIONS))
    revisions = [revision.revision for revision in script.walk_revisions()]
    assert tuple(reversed(revisions)) == schema.VERSIONS


@real_time
async def test_the_migrations_create_the_tables_that_the_code_uses(sql_place: SqlPlace) -> None:
    def differences(connection: Connection) -> list[Any]:
        configured = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        found: list[Any] = compare_metadata(configured, metadata)
        return found

    engine = single_connection(parse_url(sql_place.settings().url), sql_place.settings())
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


@real_time
async def test_opening_an_sqlite_file_creates_its_schema(tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path / "new.db")
    async with place.store() as store:
        await claimed(store)
    version = schema.current
    assert await asyncio.to_thread(version, place.settings().url) == schema.NEWEST


@real_time
async def test_opening_the_current_version_does_not_import_alembic(sql_place: SqlPlace) -> None:
    program = f"""
import asyncio, sys
from pydantic import SecretStr
from paceline.plugins.context import Context
from paceline.plugins.registry import Plugins
from paceline.settings.model import Settings, StoreSettings
from paceline_adapters.sql.store import SqlStore
async def main():
    settings = Settings(store=StoreSettings(url=SecretStr({sql_place.url!r})))
    store = SqlStore(Context(settings=settings))
    await store.open()
    await store.close()
asyncio.run(main())
sys.exit("alembic" in sys.modules)
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await process.wait() == 0


def test_concurrent_processes_create_one_schema_in_a_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    program = f"""
from pydantic import SecretStr
from paceline_adapters.sql import schema
print(schema.upgrade(SecretStr({url!r}))[1])
"""
    command = [sys.executable, "-c", program]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in processes] == [f"{schema.NEWEST}\n"] * 2


def test_concurrent_processes_create_one_schema_on_a_server(postgres_url: str) -> None:
    program = f"""
from pydantic import SecretStr
from paceline_adapters.sql import schema
print(schema.upgrade(SecretStr({postgres_url!r}))[1])
"""
    command = [sys.executable, "-c", program]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in processes] == [f"{schema.NEWEST}\n"] * 2


@real_time
async def test_a_server_without_a_schema_asks_for_the_upgrade(postgres_url: str) -> None:
    place = SqlPlace(postgres_url)
    assert await asyncio.to_thread(schema.current, place.settings().url) is None
    with pytest.raises(SchemaVersionError, match="has no schema yet; run: paceline db upgrade"):
        async with place.store():
            pass
    assert await asyncio.to_thread(schema.upgrade, place.settings().url) == (None, schema.NEWEST)
    assert await asyncio.to_thread(schema.upgrade, place.settings().url) == (
        schema.NEWEST,
        schema.NEWEST,
    )
    async with place.store() as store:
        await claimed(store)


@real_time
async def test_runs_from_before_shares_get_the_default_share(sql_place: SqlPlace) -> None:
    async with sql_place.store() as store:
        run, _ = await store.create_run(roadmap(), executor="x", share=Share("acme", 2.0))

    await downgrade(sql_place, "0002")
    await asyncio.to_thread(schema.upgrade, sql_place.settings().url)
    async with sql_place.store() as store:
        assert (await store.run(run.run_id)).share == Share()


@real_time
async def test_workers_from_before_the_dropped_column_stay_registered(sql_place: SqlPlace) -> None:
    async with sql_place.store() as store:
        await store.register(worker("old", pool_max=7))
    await downgrade(sql_place, "0004")
    assert await asyncio.to_thread(schema.upgrade, sql_place.settings().url) == (
        "0004",
        schema.NEWEST,
    )
    async with sql_place.store() as store:
        await store.register(worker("new"))
        assert {found.worker_id: found.pool_max for found in await store.workers()} == {
            "old": 7,
            "new": 5,
        }


@real_time
async def test_runs_from_before_pauses_took_the_time_from_start_to_end(sql_place: SqlPlace) -> None:
    async with sql_place.store() as store:
        ended, running = await claimed(store, "ended"), await claimed(store, "running")
        await store.save(ended, artifact(), concept=None)
        await asyncio.to_thread(sql_place.advance, 10)
        await store.finish(ended, "partial")
    await downgrade(sql_place, "0005")
    await asyncio.to_thread(schema.upgrade, sql_place.settings().url)
    async with sql_place.store() as store:
        run = await store.run(ended.run_id)
        assert run.started_at is not None
        assert run.finished_at is not None
        took = (run.finished_at - run.started_at).total_seconds()
        assert run.seconds == pytest.approx(took, abs=0.01)
        assert (await store.spending(ended.run_id)).unsaved == Spent()
        # A run that was in work during the upgrade counts from its next claim.
        assert (await store.run(running.run_id)).seconds == 0
        assert await store.hand_back(running) == "queued"


@real_time
async def test_artifacts_from_before_the_journal_come_from_the_preferred_model(
    sql_place: SqlPlace,
) -> None:
    async with sql_place.store() as store:
        claim = await claimed(store)
        await store.save(claim, artifact(), concept=None)
    await downgrade(sql_place, "0006")
    await asyncio.to_thread(schema.upgrade, sql_place.settings().url)
    async with sql_place.store() as store:
        (found,) = await store.artifacts(claim.run_id)
        assert found.fallback is None
        run = await store.run(claim.run_id)
        assert (run.context, run.scope, run.total) == ({}, Scope(), 3)
        entry = JournalEntry(concept_id="c1", step="tutorial", version=1, name="search", value="[]")
        await store.record(claim, entry)
        assert await store.journal(claim.run_id, "c1") == [entry]


@real_time
async def test_artifacts_from_before_versions_become_the_current_version_1(
    sql_place: SqlPlace,
) -> None:
    async with sql_place.store() as store:
        ended = await claimed(store, "ended")
        for step in ("tutorial", "quiz"):
            await store.save(ended, artifact(step=step, content=f'"{step}"'), concept=done())
        await store.charge(ended, charge("c1"))
        await store.finish(ended, "partial")
        entry = JournalEntry(concept_id="c1", step="tutorial", version=1, name="search", value="[]")
        running = await claimed(store, "running")
        await store.record(running, entry)
        before = await store.run(ended.run_id), await store.spending(ended.run_id)
    await downgrade(sql_place, "0007")
    moved = await asyncio.to_thread(schema.upgrade, sql_place.settings().url)
    assert moved == ("0007", schema.NEWEST)
    async with sql_place.store() as store:
        assert (await store.run(ended.run_id), await store.spending(ended.run_id)) == before
        for step in ("tutorial", "quiz"):
            (version,) = await store.versions(ended.run_id, "c0", step)
            assert (version.version, version.current, version.changes) == (1, True, 1)
            assert (version.content, version.stale, version.adopted_from) == (
                f'"{step}"',
                False,
                None,
            )
        assert await store.journal(running.run_id, "c1") == [entry]
        assert await store.hand_back(running) == "queued"
        assert await store.purgeable(older_than=3600) == []
        (listed,) = await store.purgeable(older_than=-3600)
        assert (listed.run_id, listed.artifacts) == (ended.run_id, 2)


@real_time
async def test_an_old_schema_on_a_server_asks_for_the_upgrade(
    postgres_place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = schema.NEWEST
    monkeypatch.setattr(schema, "VERSIONS", (*schema.VERSIONS, "9999"))
    monkeypatch.setattr(schema, "NEWEST", "9999")
    with pytest.raises(SchemaVersionError, match=rf"\({ours}\) is old; run: paceline db upgrade"):
        async with postgres_place.store():
            pass


@real_time
async def test_a_newer_schema_is_not_changed(
    sqlite_place: SqlitePlace, postgres_place: PostgresPlace
) -> None:
    with sqlite3.connect(sqlite_place.path) as connection:
        connection.execute("UPDATE paceline_version SET version_num = '9999'")
    connection.close()
    postgres_place.execute("UPDATE paceline_version SET version_num = '9999'")
    for place in (sqlite_place, postgres_place):
        newer = rf"its schema \(9999\) is newer than this paceline knows \({schema.NEWEST}\)"
        with pytest.raises(SchemaVersionError, match=newer):
            async with place.store():
                pass
        with pytest.raises(SchemaVersionError, match=newer):
            await asyncio.to_thread(schema.upgrade, place.settings().url)
        assert await asyncio.to_thread(schema.current, place.settings().url) == "9999"


def test_reading_the_version_creates_no_file(tmp_path: Path) -> None:
    assert schema.current(SecretStr(f"sqlite:///{tmp_path / 'new.db'}")) is None
    assert list(tmp_path.iterdir()) == []


def test_tables_of_another_program_are_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE workers (name TEXT)")
    with pytest.raises(PartUnavailable, match=r"theirs\.db: table workers already exists"):
        schema.upgrade(SecretStr(f"sqlite:///{path}"))
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.close()
    assert tables == [("workers",)]


@pytest.mark.parametrize("call", [schema.upgrade, schema.current])
def test_the_version_of_a_file_that_is_no_database_is_an_error(
    call: Callable[[SecretStr], object], tmp_path: Path
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Not a database at all, but long enough to be looked at by SQLite." * 20)
    with pytest.raises(PartUnavailable, match=r"notes.txt: it is not an SQLite database$"):
        call(SecretStr(f"sqlite:///{path}"))


@real_time
async def test_costs_from_before_budgets_are_summed_up(sql_place: SqlPlace) -> None:
    async with sql_place.store() as store:
        claim = await claimed(store)
        await store.save(claim, artifact("c0", cost=0.5), concept=done("c0"))
        await store.save(claim, artifact("c1", cost=0.25), concept=done("c1"))
        await store.charge(claim, charge("c2", "quiz", cost=0.125))
        before = {by: await store.costs(by) for by in BY}
    await downgrade(sql_place, "0010")
    await asyncio.to_thread(schema.upgrade, sql_place.settings().url, sql_place.settings())
    async with sql_place.store() as store:
        assert {by: await store.costs(by) for by in BY} == before
        assert [(line.name, line.spent.cost) for line in before["model"]] == [
            ("", 0.125),
            ("gpt", 0.75),
        ]
