"""Pytest fixtures: real servers, and an empty database for each test.

Load it in the ``conftest.py`` at the root of your tests::

    pytest_plugins = ["paceline.testing.plugin"]

Each pytest process (such as a pytest-xdist worker) starts a server when the first test requests
it.
"""

import itertools
from collections.abc import Iterator

import pytest

from paceline.testing.servers import Postgres, Valkey

_databases = itertools.cycle(range(1, 16))
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Valkey]:
    """A Valkey server shared by all tests. Start your own if the test stops it."""
    with Valkey() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL server shared by all tests. Start your own if the test stops it."""
    with Postgres() as server:
        yield server


@pytest.fixture
def redis_url(valkey_server: Valkey) -> Iterator[str]:
    """The URL of an empty Redis database, which is emptied after the test.

    Tests rotate through the databases, so a late write of one test does not affect the next.
    """
    database = next(_databases)
    valkey_server.command("FLUSHDB", database=database)
    yield valkey_server.url_of(database)
    valkey_server.command("FLUSHDB", database=database)


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """The URL (``postgresql+asyncpg://``) of a new database, dropped after the test."""
    name = f"test_{next(_numbers)}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)
