"""Every database that a store can use, each with a clock that tests can move."""

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from paceline.contracts.storage.store import Store
from paceline.plugins.context import Context
from paceline.settings.model import RunSettings, Settings, StoreSettings
from paceline.testing.contracts.store.inputs import LEASE
from paceline.testing.servers import Postgres
from paceline_adapters.memory.store import MemoryStore
from paceline_adapters.sql.store import SqlStore
from pydantic import SecretStr


class Place(ABC):
    """A database with a clock that tests can advance."""

    @abstractmethod
    def make(self, context_settings: Settings, worker_id: str, pool_limit: int | None) -> Store:
        """Make a store without opening it."""

    @abstractmethod
    def settings(self, **store: Any) -> StoreSettings:
        """Settings for this database."""

    @abstractmethod
    def advance(self, seconds: float) -> None:
        """Let time pass for leases and beats."""

    @asynccontextmanager
    async def store(
        self,
        worker_id: str = "worker",
        *,
        pool_limit: int | None = None,
        lease: float = LEASE,
        **settings: Any,
    ) -> AsyncIterator[Store]:
        """An open store, like that of another process."""
        effective = Settings(store=self.settings(**settings), run=RunSettings(lease=lease))
        store = self.make(effective, worker_id, pool_limit)
        await store.open()
        try:
            yield store
        finally:
            await store.close()


class MemoryPlace(Place):
    """One process, so there is only one store."""

    def __init__(self) -> None:
        self._passed = 0.0
        self._store = MemoryStore(
            clock=lambda: asyncio.get_running_loop().time() + self._passed,
        )

    def make(self, context_settings: Settings, worker_id: str, pool_limit: int | None) -> Store:
        return self._store

    def settings(self, **store: Any) -> StoreSettings:
        return StoreSettings(url=SecretStr("memory:"), **store)

    def advance(self, seconds: float) -> None:
        self._passed += seconds


def _days_back(seconds: float) -> list[str]:
    """Statements that move the accounts of today back by whole days."""
    today = datetime.now(UTC).date()
    before = today - timedelta(days=seconds // 86400)
    return [
        f"UPDATE {table} SET {column} = replace({column}, '{today}', '{before}')"
        for table, column in (("budget_accounts", "name"), ("budget_reservations", "accounts"))
    ]


class SqlPlace(Place):
    def __init__(self, url: str) -> None:
        self.url = url

    def make(self, context_settings: Settings, worker_id: str, pool_limit: int | None) -> SqlStore:
        return SqlStore(
            Context(
                settings=context_settings,
                worker_id=worker_id,
                pool_limit=pool_limit,
            )
        )

    def settings(self, **store: Any) -> StoreSettings:
        return StoreSettings(url=SecretStr(self.url), **store)

    def advance(self, seconds: float) -> None:
        raise NotImplementedError(f"the clock of {self.url} cannot be advanced")


class SqlitePlace(SqlPlace):
    def __init__(self, path: Path) -> None:
        super().__init__(f"sqlite:///{path}")
        self.path = path

    def advance(self, seconds: float) -> None:
        back = f"strftime('%Y-%m-%dT%H:%M:%fZ', {{}}, '-{seconds} seconds')"
        with sqlite3.connect(self.path) as connection:
            for column in ("lease_until", "claimed_at", "finished_at"):
                connection.execute(f"UPDATE runs SET {column} = {back.format(column)}")
            connection.execute(f"UPDATE workers SET beat_at = {back.format('beat_at')}")
            connection.execute(f"UPDATE outbox SET due_at = {back.format('due_at')}")
            connection.execute(f"UPDATE sink_states SET retry_at = {back.format('retry_at')}")
            for statement in _days_back(seconds):
                connection.execute(statement)
        connection.close()


class PostgresPlace(SqlPlace):
    def __init__(self, server: Postgres, url: str) -> None:
        super().__init__(url)
        self.server = server
        self.database = url.rpartition("/")[2]

    def execute(self, sql: str) -> str:
        """Run statements as the superuser."""
        return self.server.execute(sql, database=self.database)

    def advance(self, seconds: float) -> None:
        back = f"- make_interval(secs => {seconds})"
        self.execute(
            f"UPDATE runs SET lease_until = lease_until {back}, claimed_at = claimed_at {back}, "
            f"finished_at = finished_at {back};"
            f"UPDATE workers SET beat_at = beat_at {back};"
            f"UPDATE outbox SET due_at = due_at {back};"
            f"UPDATE sink_states SET retry_at = retry_at {back};" + ";".join(_days_back(seconds))
        )
