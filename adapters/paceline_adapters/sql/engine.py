"""The database connections of one process, and two ways to use them: ``read`` and ``write``.

SQLite runs in WAL mode: readers never wait for the writer. With ``synchronous=FULL`` a commit is
on disk before it is acknowledged, so saved data survives a killed process and a power cut. Group
commits keep that cheap.
"""

import asyncio
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from paceline import DatabaseNotFound, PartUnavailable, StoreSettings
from paceline.contracts.admission.wait_histogram import bucket_of
from paceline.contracts.storage.records import PoolFigures
from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, NullPool

from paceline_adapters.sql.busy import BEGIN, connection_class
from paceline_adapters.sql.faults import is_database_error, is_transient, unavailable
from paceline_adapters.sql.open_file import OpenFile
from paceline_adapters.sql.retry import retry, run_to_end
from paceline_adapters.sql.url import Address, Dialect
from paceline_adapters.sql.versions import schema_options

if TYPE_CHECKING:
    from paceline_adapters.sql.server import Connector

T = TypeVar("T")

#: Seconds to retry an operation after a transient fault.
PATIENCE = 10.0
#: Minimum number of seconds to retry a write if its failure would lose paid answers.
LONG_PATIENCE = 30.0

#: Seconds that an SQLite connection waits for a transaction of another process.
_BUSY_TIMEOUT = 10.0
#: Arguments of SQLite's driver, which then starts no transaction by itself.
_SQLITE: dict[str, Any] = {"isolation_level": None, "timeout": _BUSY_TIMEOUT}
#: Seconds after which an idle connection is replaced, before a firewall drops it.
_RECYCLE = 900


class Database:
    """An engine with its pool. Between two calls, no connection is in use.

    Args:
        lease: seconds of a run's lease. No transaction holds its locks for that long.
        size: connections to keep.
        overflow: connections to open beyond them.
    """

    def __init__(
        self, address: Address, settings: StoreSettings, *, lease: float, size: int, overflow: int
    ) -> None:
        self.address = address
        #: Seconds to retry if a failure would lose paid answers. An outage shorter than the
        #: lease then loses nothing, because no other worker claims the run.
        self.long_patience = max(LONG_PATIENCE, lease)
        self._limit = size + overflow
        self._peak = self._timeouts = self._busy = 0
        self._waits: Counter[int] = Counter()
        options: dict[str, Any]
        if address.dialect == "sqlite":
            factory = connection_class(self._count_busy, timeout=_BUSY_TIMEOUT)
            options = _SQLITE | {"factory": factory}
        else:
            options = server_options(address, settings, lease=lease)
        self._connector: Connector | None = options.get("async_creator_fn")
        self._engine = create_async_engine(
            address.url,
            poolclass=AsyncAdaptedQueuePool,
            pool_size=size,
            max_overflow=overflow,
            pool_timeout=settings.pool_timeout,
            pool_recycle=-1 if address.dialect == "sqlite" else _RECYCLE,
            hide_parameters=True,
            connect_args=options,
            execution_options=schema_options(settings.schema_name),
        )
        self._pool = self._engine.sync_engine.pool
        event.listen(self._pool, "checkout", self._update_peak)
        self._reader = self._writer = self._engine
        self._write_lock: asyncio.Lock | None = None
        self._file: OpenFile | None = None
        if address.dialect == "sqlite":
            self._file = OpenFile(address)
            event.listen(self._engine.sync_engine, "connect", self._file.check)
            prepare_sqlite(self._engine, foreign_keys=True)
            self._writer = self._engine.execution_options(paceline_write=True)
            self._write_lock = asyncio.Lock()
        else:
            from paceline_adapters.sql.server import watch

            watch(self._engine.sync_engine)
            # A single query needs no BEGIN and ROLLBACK around it.
            self._reader = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def dialect(self) -> Dialect:
        """The kind of the database."""
        return self.address.dialect

    @property
    def pooled(self) -> bool:
        """Whether connections go through a pooler. Known after the first one."""
        return self._connector is not None and self._connector.pooled

    @property
    def read_only(self) -> bool:
        """Whether the server accepted no writes when the newest connection was opened."""
        return self._connector is not None and self._connector.read_only

    async def read(
        self, query: Callable[[AsyncConnection], Awaitable[T]], *, patience: float = PATIENCE
    ) -> T:
        """Run queries. Each one sees what was committed before it started.

        Raises:
            PartUnavailable: the database cannot be reached, or refuses.
            StoreLost: the file of the database was removed or replaced.
        """

        async def attempt() -> T:
            async with AsyncExitStack() as stack:
                return await query(await self._checked_out(stack, self._reader))

        return await self._retried(attempt, patience)

    async def write(
        self, change: Callable[[AsyncConnection], Awaitable[T]], *, patience: float = PATIENCE
    ) -> T:
        """Run one short transaction, and retry it after a transient fault.

        If the caller is cancelled, it still waits until the transaction has ended.

        Raises:
            PartUnavailable: the database cannot be reached, or refuses.
        """
        return await self._retried(lambda: self.transaction(change), patience)

    async def transaction(self, change: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run one attempt of a transaction. Raises the driver's own errors."""
        return await run_to_end(self._transaction(change))

    async def _transaction(self, change: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with AsyncExitStack() as stack:
            if self._write_lock is not None:
                # SQLite has one writer. Writers queue here, in order and without a connection.
                await stack.enter_async_context(self._write_lock)
            connection = await self._checked_out(stack, self._writer)
            await stack.enter_async_context(connection.begin())
            changed = await change(connection)
        if self._file is not None:
            self._file.check()
        return changed

    async def _checked_out(self, stack: AsyncExitStack, engine: AsyncEngine) -> AsyncConnection:
        """Take a connection from the pool until the stack ends, and count the wait."""
        started = time.perf_counter()
        try:
            connection = await stack.enter_async_context(engine.connect())
        except PoolTimeout:
            self._timeouts += 1
            raise
        self._waits[bucket_of(time.perf_counter() - started)] += 1
        if self._file is not None:
            self._file.check()
        return connection

    async def _retried(self, attempt: Callable[[], Awaitable[T]], patience: float) -> T:
        try:
            return await retry(attempt, patience=patience, transient=is_transient)
        except Exception as error:
            if not is_database_error(error):
                raise
            raise self.unavailable(error) from None

    def unavailable(self, error: BaseException) -> PartUnavailable:
        """The error to raise for a driver's error."""
        return unavailable(error, self.address)

    def figures(self) -> PoolFigures:
        """The pool as it is now."""
        return PoolFigures(
            limit=self._limit,
            in_use=_in_use(self._pool),
            peak=self._peak,
            waits=dict(self._waits),
            timeouts=self._timeouts,
            busy=self._busy,
        )

    def _update_peak(self, *_: object) -> None:
        self._peak = max(self._peak, _in_use(self._pool))

    def _count_busy(self) -> None:
        self._busy += 1

    async def dispose(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def must_open(address: Address, *, create: bool = True) -> None:
    """Check that SQLite can open its file, which it creates if it is missing and ``create`` is set.

    If aiosqlite fails to open it, it leaves a thread that may outlive the event loop.

    Raises:
        DatabaseNotFound: the file is missing, and ``create`` is false.
        PartUnavailable: SQLite cannot open the file.
    """
    if address.dialect != "sqlite":
        return
    path = Path(address.file)
    mode = "rwc" if create else "rw"
    try:
        sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True).close()
    except sqlite3.Error as error:
        if not create and not os.access(path, os.F_OK) and os.access(path.parent, os.W_OK):
            raise DatabaseNotFound(
                f"there is no database at {_near(path)} yet; "
                "`paceline run FILE` creates it (for another database: --set store.url=URL)"
            ) from None
        raise unavailable(error, address) from None


def _near(path: Path) -> str:
    """A path in the working folder as ``./name``."""
    try:
        return f"./{path.relative_to(Path.cwd())}"
    except (ValueError, OSError):
        return str(path)


def _in_use(pool: object) -> int:
    return pool.checkedout() if isinstance(pool, AsyncAdaptedQueuePool) else 0


def prepare_sqlite(engine: AsyncEngine, *, foreign_keys: bool) -> None:
    """Set up each SQLite connection, and start writing transactions with ``BEGIN IMMEDIATE``.

    If a transaction first reads and then writes, and another process writes in between, SQLite
    fails at once without waiting. ``BEGIN IMMEDIATE`` waits instead.
    """

    def on_connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=FULL")
        if foreign_keys:
            cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    def on_begin(connection: Connection) -> None:
        if connection.get_execution_options().get("paceline_write"):
            connection.exec_driver_sql(BEGIN)

    event.listen(engine.sync_engine, "connect", on_connect)
    event.listen(engine.sync_engine, "begin", on_begin)


def single_connection(address: Address, settings: StoreSettings) -> AsyncEngine:
    """An engine without a pool and without a lease, for migrations."""
    options = _SQLITE if address.dialect == "sqlite" else server_options(address, settings)
    engine = create_async_engine(
        address.url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args=options,
        execution_options=schema_options(settings.schema_name),
    )
    if address.dialect == "sqlite":
        # To change a table, Alembic copies it. Foreign keys would prevent that.
        prepare_sqlite(engine, foreign_keys=False)
    return engine


def server_options(
    address: Address, settings: StoreSettings, *, lease: float | None = None
) -> dict[str, Any]:
    """Arguments for connections to a server."""
    # Only PostgreSQL needs the driver.
    from paceline_adapters.sql.server import Connector

    timeout = settings.connect_timeout
    connect = Connector(address.place, address.server, timeout=timeout, lease=lease)
    return {"async_creator_fn": connect}
