"""The connections of one process, and the two ways to use them: ``read`` and ``write``.

SQLite is opened in WAL mode: readers never wait for the writer. ``synchronous=FULL`` makes a
commit reach the disk before it is acknowledged, so what is saved outlives a killed process
and a power cut alike; group commits keep that cheap.
"""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from paceline import PartUnavailable, StoreSettings
from paceline.contracts.records import PoolFigures
from paceline.contracts.wait_histogram import step_of
from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, NullPool

from paceline_adapters.sql.busy import BEGIN, counting
from paceline_adapters.sql.faults import is_database_error, is_passing, unavailable
from paceline_adapters.sql.retry import patiently, settled
from paceline_adapters.sql.url import Address, Dialect

T = TypeVar("T")

#: Seconds that an operation is tried again while the database is away for a moment.
PATIENCE = 10.0
#: The least of it where giving up loses what was paid for.
LONG_PATIENCE = 30.0

#: Seconds that one SQLite connection waits for another process's transaction.
_BUSY_TIMEOUT = 10.0
#: Seconds that a server may take for one statement.
_COMMAND_TIMEOUT = 30.0
#: Seconds after which an idle connection is replaced, before a firewall forgets it.
_RECYCLE = 900


class Database:
    """An engine with its pool. Nothing is checked out between two calls.

    Args:
        address: where the database is.
        settings: pool and timeouts.
        lease: seconds of a run's lease; no transaction may hold its locks that long.
        size: connections to keep.
        overflow: connections to open beyond them.
    """

    def __init__(
        self, address: Address, settings: StoreSettings, *, lease: float, size: int, overflow: int
    ) -> None:
        self.address = address
        #: Seconds to try again where giving up loses what was paid for: an outage shorter
        #: than the lease costs nothing, as nobody takes the run over.
        self.long_patience = max(LONG_PATIENCE, lease)
        self._limit = size + overflow
        self._peak = self._checkouts = self._timeouts = self._busy = 0
        self._waits: Counter[int] = Counter()
        options = connect_args(address, settings, lease=lease)
        if address.dialect == "sqlite":
            options["factory"] = counting(self._count_busy, timeout=_BUSY_TIMEOUT)
        self._engine = create_async_engine(
            address.url,
            poolclass=AsyncAdaptedQueuePool,
            pool_size=size,
            max_overflow=overflow,
            pool_timeout=settings.pool_timeout,
            pool_recycle=-1 if address.dialect == "sqlite" else _RECYCLE,
            hide_parameters=True,
            connect_args=options,
        )
        self._pool = self._engine.sync_engine.pool
        event.listen(self._pool, "checkout", self._count)
        self._reader = self._writer = self._engine
        self._turn: asyncio.Lock | None = None
        if address.dialect == "sqlite":
            prepare_sqlite(self._engine, foreign_keys=True)
            self._writer = self._engine.execution_options(paceline_write=True)
            self._turn = asyncio.Lock()
        else:
            # A single query needs no BEGIN and ROLLBACK around it.
            self._reader = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def dialect(self) -> Dialect:
        """Which database it is."""
        return self.address.dialect

    async def read(
        self, ask: Callable[[AsyncConnection], Awaitable[T]], *, patience: float = PATIENCE
    ) -> T:
        """Run queries; each sees what is committed when it begins.

        Raises:
            PartUnavailable: the database cannot be reached, or refuses.
        """

        async def attempt() -> T:
            async with AsyncExitStack() as stack:
                return await ask(await self._checked_out(stack, self._reader))

        return await self._in_words(attempt, patience)

    async def write(
        self, change: Callable[[AsyncConnection], Awaitable[T]], *, patience: float = PATIENCE
    ) -> T:
        """Run one short transaction; what a fault undid is begun anew.

        A caller that is cancelled waits until the transaction has ended.

        Raises:
            PartUnavailable: the database cannot be reached, or refuses.
        """
        return await self._in_words(lambda: self.transaction(change), patience)

    async def transaction(self, change: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """One attempt of a transaction, with the driver's own errors."""
        return await settled(self._transaction(change))

    async def _transaction(self, change: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with AsyncExitStack() as stack:
            if self._turn is not None:
                # SQLite has one writer: queue for it here, in order and without a connection.
                await stack.enter_async_context(self._turn)
            connection = await self._checked_out(stack, self._writer)
            await stack.enter_async_context(connection.begin())
            return await change(connection)

    async def _checked_out(self, stack: AsyncExitStack, engine: AsyncEngine) -> AsyncConnection:
        """A connection of the pool until the stack ends; the wait for it is counted."""
        asked = time.perf_counter()
        try:
            connection = await stack.enter_async_context(engine.connect())
        except PoolTimeout:
            self._timeouts += 1
            raise
        self._waits[step_of(time.perf_counter() - asked)] += 1
        return connection

    async def _in_words(self, attempt: Callable[[], Awaitable[T]], patience: float) -> T:
        try:
            return await patiently(attempt, patience=patience, passing=is_passing)
        except Exception as error:
            if not is_database_error(error):
                raise
            raise self.unavailable(error) from None

    def unavailable(self, error: BaseException) -> PartUnavailable:
        """What to raise for a driver's error."""
        return unavailable(error, self.address)

    def figures(self) -> PoolFigures:
        """The pool as it is now."""
        return PoolFigures(
            limit=self._limit,
            in_use=_in_use(self._pool),
            peak=self._peak,
            checkouts=self._checkouts,
            waits=dict(self._waits),
            timeouts=self._timeouts,
            busy=self._busy,
        )

    def _count(self, *_: object) -> None:
        self._checkouts += 1
        self._peak = max(self._peak, _in_use(self._pool))

    def _count_busy(self) -> None:
        self._busy += 1

    async def dispose(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def must_open(address: Address) -> None:
    """See that SQLite can open its file at all.

    Where aiosqlite fails to, it leaves a thread that may outlive the event loop and complain.

    Raises:
        PartUnavailable: it cannot.
    """
    if address.dialect == "sqlite":
        try:
            sqlite3.connect(address.url.database or "").close()
        except sqlite3.Error as error:
            raise unavailable(error, address) from None


def _in_use(pool: object) -> int:
    return pool.checkedout() if isinstance(pool, AsyncAdaptedQueuePool) else 0


def connect_args(
    address: Address, settings: StoreSettings, *, lease: float | None
) -> dict[str, Any]:
    """What the driver is told. Without a lease (migrations) statements may take their time."""
    if address.dialect == "sqlite":
        # No transaction but those that we begin ourselves.
        return {"isolation_level": None, "timeout": _BUSY_TIMEOUT}
    server = {"application_name": address.application_name}
    if lease is not None:
        # A process that is stopped in a transaction loses it, and its locks, before its lease.
        server["lock_timeout"] = f"{lease / 3 * 1000:.0f}ms"
        server["idle_in_transaction_session_timeout"] = f"{lease / 2 * 1000:.0f}ms"
    return {
        "timeout": address.connect_timeout or settings.connect_timeout,
        "command_timeout": None if lease is None else _COMMAND_TIMEOUT,
        "server_settings": server,
    }


def prepare_sqlite(engine: AsyncEngine, *, foreign_keys: bool) -> None:
    """Set up each SQLite connection, and begin writing transactions as such.

    A transaction that first reads and then writes may find that another process wrote in
    between, and fails at once whatever the timeout: ``BEGIN IMMEDIATE`` waits instead.
    """

    def connected(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=FULL")
        if foreign_keys:
            cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    def begun(connection: Connection) -> None:
        if connection.get_execution_options().get("paceline_write"):
            connection.exec_driver_sql(BEGIN)

    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "begin", begun)


def single_connection(address: Address, settings: StoreSettings) -> AsyncEngine:
    """An engine without a pool or a lease, for migrations."""
    engine = create_async_engine(
        address.url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args=connect_args(address, settings, lease=None),
    )
    if address.dialect == "sqlite":
        # Changing a table means making a new one, which foreign keys would hinder.
        prepare_sqlite(engine, foreign_keys=False)
    return engine
