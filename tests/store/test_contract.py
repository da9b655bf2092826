"""The stores keep the contract of stores."""

import asyncio

import pytest
from paceline.contracts.storage.store import Store
from paceline.settings.model import Settings
from paceline.testing.contracts import StoreContract
from paceline_adapters.memory.store import MemoryStore

from tests.support.databases import PostgresPlace, SqlitePlace, SqlPlace


class TestMemoryStore(StoreContract):
    examples = 100
    shared = False
    clock = True

    def store(self) -> Store:
        return MemoryStore()


class OnDatabases(StoreContract):
    clock = True
    virtual = False
    examples = 10
    place: SqlPlace

    def store(self) -> Store:
        return self.place.make(Settings(store=self.place.settings()), "worker", None)

    async def advance(self, seconds: float) -> None:
        await asyncio.to_thread(self.place.advance, seconds)


class TestSqlite(OnDatabases):
    @pytest.fixture(autouse=True)
    def _place(self, sqlite_place: SqlitePlace) -> None:
        self.place = sqlite_place


class TestPostgres(OnDatabases):
    @pytest.fixture(autouse=True)
    def _place(self, postgres_place: PostgresPlace) -> None:
        self.place = postgres_place


@pytest.mark.soak
class TestPgBouncer(OnDatabases):
    examples = 3

    @pytest.fixture(autouse=True)
    def _place(self, pooled_place: PostgresPlace) -> None:
        self.place = pooled_place


@pytest.mark.soak
@pytest.mark.timeout(1200)
class TestMemoryForLong(TestMemoryStore):
    examples = 2000
    steps = 60


@pytest.mark.soak
@pytest.mark.timeout(1200)
class TestSqliteForLong(TestSqlite):
    examples = 150
    steps = 60


@pytest.mark.soak
@pytest.mark.timeout(1200)
class TestPostgresForLong(TestPostgres):
    examples = 100
    steps = 60
