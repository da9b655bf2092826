"""The schema's version: made where that is ours to do, asked for where it is not."""

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
from paceline.contracts.share import Share
from paceline.errors import PartUnavailable, SchemaVersionError
from paceline.testing.contracts.store.inputs import claimed, roadmap
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql import schema
from paceline_adapters.sql.engine import single_connection
from paceline_adapters.sql.tables import metadata
from paceline_adapters.sql.url import parse_url
from pydantic import SecretStr
from sqlalchemy import Connection, text

from tests.store.places import PostgresPlace, SqlitePlace, SqlPlace


def test_every_version_is_known_and_has_its_migration() -> None:
    script = ScriptDirectory(str(schema.MIGRATIONS))
    revisions = [revision.revision for revision in script.walk_revisions()]
    assert tuple(reversed(revisions)) == schema.VERSIONS


@real_time
async def test_the_migrations_make_the_tables_that_the_code_uses(sql_place: SqlPlace) -> None:
    def differences(connection: Connection) -> list[Any]:
        found: list[Any] = compare_metadata(MigrationContext.configure(connection), metadata)
        return found

    engine = single_connection(parse_url(sql_place.settings().url), sql_place.settings())
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


@real_time
async def test_an_sqlite_file_is_made_and_upgraded_by_opening_it(tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path / "new.db")
    async with place.store() as store:
        await claimed(store)
    version = schema.current
    assert await asyncio.to_thread(version, place.settings().url) == schema.NEWEST


@real_time
async def test_opening_the_right_version_does_not_load_alembic(sql_place: SqlPlace) -> None:
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


def test_processes_that_open_a_new_file_at_once_make_one_schema(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    program = f"""
from pydantic import SecretStr
from paceline_adapters.sql import schema
print(schema.upgrade(SecretStr({url!r}))[1])
"""
    command = [sys.executable, "-c", program]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in processes] == [f"{schema.NEWEST}\n"] * 2


def test_processes_that_upgrade_a_server_at_once_make_one_schema(postgres_url: str) -> None:
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
async def test_runs_of_before_shares_are_nobodys_with_the_usual_weight(sql_place: SqlPlace) -> None:
    async with sql_place.store() as store:
        run, _ = await store.create_run(roadmap(), executor="x", share=Share("acme", 2.0))

    def back(connection: Connection) -> None:
        for of_them in ("", "_status", "_roadmap_id"):
            connection.execute(text(f"DROP INDEX ix_runs_tenant{of_them}_run_id"))
        connection.execute(text("ALTER TABLE runs DROP COLUMN tenant"))
        connection.execute(text("ALTER TABLE runs DROP COLUMN weight"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))

    engine = single_connection(parse_url(sql_place.settings().url), sql_place.settings())
    async with engine.begin() as connection:
        await connection.run_sync(back)
    await engine.dispose()
    await asyncio.to_thread(schema.upgrade, sql_place.settings().url)
    async with sql_place.store() as store:
        assert (await store.run(run.run_id)).share == Share()


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
async def test_a_newer_schema_is_left_alone(
    sqlite_place: SqlitePlace, postgres_place: PostgresPlace
) -> None:
    with sqlite3.connect(sqlite_place.path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    postgres_place.execute("UPDATE alembic_version SET version_num = '9999'")
    for place in (sqlite_place, postgres_place):
        newer = rf"its schema \(9999\) is newer than this paceline knows \({schema.NEWEST}\)"
        with pytest.raises(SchemaVersionError, match=newer):
            async with place.store():
                pass
        with pytest.raises(SchemaVersionError, match=newer):
            await asyncio.to_thread(schema.upgrade, place.settings().url)
        assert await asyncio.to_thread(schema.current, place.settings().url) == "9999"


def test_looking_at_the_version_makes_no_file(tmp_path: Path) -> None:
    assert schema.current(SecretStr(f"sqlite:///{tmp_path / 'new.db'}")) is None
    assert list(tmp_path.iterdir()) == []


def test_tables_of_somebody_else_are_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE workers (name TEXT)")
    with pytest.raises(PartUnavailable, match=r"theirs\.db: table workers already exists"):
        schema.upgrade(SecretStr(f"sqlite:///{path}"))
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.close()
    assert tables == [("workers",)]


@pytest.mark.parametrize("ask", [schema.upgrade, schema.current])
def test_a_version_cannot_be_asked_of_what_is_no_database(
    ask: Callable[[SecretStr], object], tmp_path: Path
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Not a database at all, but long enough to be looked at by SQLite." * 20)
    with pytest.raises(PartUnavailable, match=r"notes.txt: it is not an SQLite database$"):
        ask(SecretStr(f"sqlite:///{path}"))
