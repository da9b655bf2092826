"""The database of a host application, which has migrations of its own, in both orders."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from paceline.errors import SchemaVersionError, SettingsError
from paceline.testing.contracts.store.inputs import claimed
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql import exclude_paceline, schema
from paceline_adapters.sql.engine import single_connection
from paceline_adapters.sql.tables import metadata
from paceline_adapters.sql.url import parse_url
from sqlalchemy import Column, Connection, Integer, MetaData, Table, inspect, text

from tests.store.test_schema import downgrade
from tests.support.databases import PostgresPlace, SqlitePlace, SqlPlace

ENV = """
from alembic import context
given = context.config.attributes
context.configure(
    connection=given["connection"], target_metadata=given["tables"], **given["options"]
)
with context.begin_transaction():
    context.run_migrations()
"""
SCRIPT = """revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
import sqlalchemy as sa
from alembic import op
def upgrade():
    ${upgrades if upgrades else "pass"}
"""


class Host:
    """An application with a table ``orders`` and a chain of migrations in Alembic's table."""

    def __init__(self, place: SqlPlace, home: Path, **options: Any) -> None:
        self.place = place
        (home / "versions").mkdir()
        (home / "env.py").write_text(ENV)
        (home / "script.py.mako").write_text(SCRIPT)
        self.config = Config()
        self.config.set_main_option("script_location", str(home))
        self.tables = MetaData()
        Table("orders", self.tables, Column("id", Integer, primary_key=True))
        self.config.attributes |= {"tables": self.tables, "options": options}

    async def do(self, work: Callable[[Connection], Any]) -> Any:
        settings = self.place.settings()
        engine = single_connection(parse_url(settings.url), settings)
        async with engine.begin() as connection:
            result = await connection.run_sync(work)
        await engine.dispose()
        return result

    async def migrate(self) -> None:
        """Generate the next migration, with the first one's name like one of ours; apply it."""

        def work(connection: Connection) -> None:
            self.config.attributes["connection"] = connection
            number = len(list(ScriptDirectory.from_config(self.config).walk_revisions())) + 1
            command.revision(self.config, autogenerate=True, rev_id=f"000{number}")
            command.upgrade(self.config, "head")

        await self.do(work)

    async def run(self, *statements: str) -> None:
        def work(connection: Connection) -> None:
            for statement in statements:
                connection.execute(text(statement))

        await self.do(work)

    async def names(self, schema_name: str | None = None) -> set[str]:
        return set(await self.do(lambda c: inspect(c).get_table_names(schema_name)))

    async def versions(self) -> list[str]:
        query = text("SELECT version_num FROM alembic_version ORDER BY 1")
        return list(await self.do(lambda connection: connection.scalars(query).all()))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_place(request: pytest.FixtureRequest, tmp_path: Path) -> SqlPlace:
    """An empty database."""
    if request.param == "sqlite":
        return SqlitePlace(tmp_path / "app.db")
    return SqlPlace(request.getfixturevalue("postgres_url"))


@pytest.fixture
def host(empty_place: SqlPlace, tmp_path: Path) -> Host:
    home = tmp_path / "host"
    home.mkdir()
    return Host(empty_place, home, include_name=exclude_paceline())


async def upgraded(place: SqlPlace, **settings: Any) -> tuple[str | None, str]:
    made = place.settings(**settings)
    return await asyncio.to_thread(schema.upgrade, made.url, made)


@pytest.mark.parametrize("ours_first", [False, True])
@real_time
async def test_both_chains_share_a_database(host: Host, ours_first: bool) -> None:
    if not ours_first:
        await host.migrate()
    assert await upgraded(host.place) == (None, schema.NEWEST)
    await host.migrate()
    async with host.place.store() as store:
        await claimed(store)
    Table("bills", host.tables, Column("id", Integer, primary_key=True))
    await host.migrate()
    assert await upgraded(host.place) == (schema.NEWEST, schema.NEWEST)
    assert await host.names() >= {"orders", "bills", "runs", "artifacts", "paceline_version"}
    async with host.place.store() as store:
        assert len(await store.runs()) == 1


async def as_before(host: Host, version: str, *more: str) -> None:
    """Keep our version where earlier versions of paceline kept it."""
    await host.run(
        "DROP TABLE paceline_version",
        "CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)",
        *(f"INSERT INTO alembic_version VALUES ('{one}')" for one in (version, *more)),
    )


@pytest.mark.parametrize("version", ["0002", "0003", "0004"])
@real_time
async def test_an_old_version_in_the_shared_table_is_upgraded(host: Host, version: str) -> None:
    await upgraded(host.place)
    async with host.place.store() as store:
        await claimed(store)
    await downgrade(host.place, version)
    await as_before(host, version)
    assert await upgraded(host.place) == (version, schema.NEWEST)
    assert "alembic_version" not in await host.names()
    async with host.place.store() as store:
        assert len(await store.runs()) == 1


@real_time
async def test_the_current_version_in_the_shared_table_works_and_is_taken_over(host: Host) -> None:
    await upgraded(host.place)
    await as_before(host, schema.NEWEST)
    async with host.place.store() as store:  # works before the upgrade, too
        await claimed(store)
    assert await upgraded(host.place) == (schema.NEWEST, schema.NEWEST)
    assert "alembic_version" not in await host.names()
    async with host.place.store() as store:
        assert len(await store.runs()) == 1
    await host.migrate()
    assert await host.versions() == ["0001"]


@real_time
async def test_taking_over_leaves_the_versions_of_the_host(host: Host) -> None:
    await upgraded(host.place)
    await as_before(host, schema.NEWEST, "5f3a9c")
    await upgraded(host.place)
    assert await host.versions() == ["5f3a9c"]


@pytest.mark.parametrize("table", ["roadmaps", "runs", "paceline_version_of_theirs"])
@real_time
async def test_a_table_of_the_host_with_our_name_is_named_and_stays(host: Host, table: str) -> None:
    await host.migrate()  # at 0001, like one of our versions
    await host.run(f"CREATE TABLE {table} (id INTEGER)")
    before = await host.names()
    if table not in metadata.tables:
        assert await upgraded(host.place) == (None, schema.NEWEST)
        return
    fix = "store.url" if isinstance(host.place, SqlitePlace) else "store.schema_name"
    with pytest.raises(SchemaVersionError, match=rf"table {table} already exists .* {fix}"):
        await upgraded(host.place)
    assert await host.names() == before
    assert await host.versions() == ["0001"]
    if isinstance(host.place, SqlitePlace):
        assert not host.place.path.with_name("app.db-wal").exists()


@real_time
async def test_an_index_with_our_name_is_named(host: Host) -> None:
    await host.run("CREATE TABLE x (id INTEGER)", "CREATE INDEX ix_runs_queued ON x (id)")
    with pytest.raises(SchemaVersionError, match=r"ix_runs_queued already exists and is not"):
        await upgraded(host.place)
    assert await host.names() == {"x"}


@real_time
async def test_a_schema_of_our_own_lies_next_to_foreign_tables(
    postgres_url: str, tmp_path: Path
) -> None:
    place = SqlPlace(postgres_url)
    host = Host(place, tmp_path, include_schemas=True, include_name=exclude_paceline("apart"))
    Table("roadmaps", host.tables, Column("id", Integer, primary_key=True))
    await host.migrate()
    assert await upgraded(place, schema_name="apart") == (None, schema.NEWEST)
    await host.migrate()
    async with place.store(schema_name="apart") as store:
        claim = await claimed(store)
        assert (await store.run(claim.run_id)).status == "running"
        assert await store.budget()
    assert await host.names() == {"alembic_version", "orders", "roadmaps"}
    assert await host.names("apart") == {*metadata.tables, "paceline_version"}
    with pytest.raises(SchemaVersionError, match=r"table roadmaps .* set store\.schema_name"):
        async with place.store():
            pass


@real_time
async def test_a_new_schema_does_not_hide_the_tables_of_the_host(postgres_url: str) -> None:
    place = SqlPlace(postgres_url)
    role = "paceline"  # the search path begins with the schema that has the name of the role
    with pytest.raises(SchemaVersionError, match="would be the first of the search path"):
        await upgraded(place, schema_name=role)


#: Tables that the version 0004 does not have.
LATER = {"charges", "journal", "past_versions", "revisions", "outbox", "sink_states"}
LATER |= {"budget_accounts", "budget_reservations", "costs", "controls", "control_log"}


@real_time
async def test_every_version_is_upgraded_in_a_schema_of_its_own(
    postgres_place: PostgresPlace,
) -> None:
    await downgrade(postgres_place, "0004")
    postgres_place.execute(
        "CREATE SCHEMA apart AUTHORIZATION paceline; "
        + "".join(
            f"ALTER TABLE {name} SET SCHEMA apart;"
            for name in ({*metadata.tables} - LATER | {"paceline_version"})
        )
    )
    assert await upgraded(postgres_place, schema_name="apart") == ("0004", schema.NEWEST)
    async with postgres_place.store(schema_name="apart") as store:
        await claimed(store)


@real_time
async def test_sqlite_has_no_schemas(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"store\.schema_name: only PostgreSQL"):
        async with SqlitePlace(tmp_path / "x.db").store(schema_name="paceline"):
            pass


def test_the_filter_leaves_out_only_our_tables() -> None:
    assert exclude_paceline()("orders", "table", {"schema_name": None})
    assert not exclude_paceline()("runs", "table", {"schema_name": None})
    assert exclude_paceline("paceline")("runs", "table", {"schema_name": None})
    assert not exclude_paceline("paceline")("runs", "table", {"schema_name": "paceline"})
    assert not exclude_paceline("paceline")("paceline", "schema", {})
