"""A place for each kind of store, empty for each test."""

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from paceline.testing.servers import Postgres
from paceline_adapters.sql import schema
from pydantic import SecretStr

from tests.support.databases import MemoryPlace, Place, PostgresPlace, SqlitePlace, SqlPlace
from tests.support.pgbouncer import PgBouncer

_numbers = count(1)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty file with the schema. Copying it is faster than migrating."""
    path = tmp_path_factory.mktemp("template") / "empty.db"
    schema.upgrade(SecretStr(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Postgres) -> str:
    """An empty database with the schema."""
    schema.upgrade(SecretStr(postgres_server.create_database("store_template")))
    return "store_template"


@pytest.fixture
def sqlite_place(sqlite_template: Path, tmp_path: Path) -> SqlitePlace:
    """An SQLite file with the schema."""
    shutil.copy(sqlite_template, tmp_path / "paceline.db")
    return SqlitePlace(tmp_path / "paceline.db")


@pytest.fixture
def postgres_place(postgres_server: Postgres, postgres_template: str) -> Iterator[PostgresPlace]:
    """A PostgreSQL database with the schema."""
    name = f"store_{next(_numbers)}"
    url = postgres_server.create_database(name, template=postgres_template)
    yield PostgresPlace(postgres_server, url)
    postgres_server.drop_database(name)


@pytest.fixture
def pooled_place(postgres_place: PostgresPlace, pgbouncer: PgBouncer) -> PostgresPlace:
    """A PostgreSQL database with the schema, through the pooler."""
    return PostgresPlace(postgres_place.server, pgbouncer.through(postgres_place.url))


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> Place:
    """Each kind of store in turn."""
    if request.param == "memory":
        return MemoryPlace()
    return _sql(request, request.param)


@pytest.fixture(params=["memory", "sqlite"])
def embedded_place(request: pytest.FixtureRequest) -> Place:
    """Each kind of store without a server."""
    return MemoryPlace() if request.param == "memory" else _sql(request, request.param)


@pytest.fixture(params=["sqlite", "postgresql"])
def sql_place(request: pytest.FixtureRequest) -> SqlPlace:
    """Each database in turn."""
    return _sql(request, request.param)


def _sql(request: pytest.FixtureRequest, kind: str) -> SqlPlace:
    name = "sqlite_place" if kind == "sqlite" else "postgres_place"
    place = request.getfixturevalue(name)
    assert isinstance(place, SqlPlace)
    return place
