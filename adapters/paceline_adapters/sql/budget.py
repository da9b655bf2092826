"""The connections of all processes together must fit the server: the sum, in words too."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from paceline import BudgetError, StoreSettings
from paceline.contracts.records import Budget, WorkerRecord, shrunk
from paceline.text import count
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql import workers
from paceline_adapters.sql.engine import Database

#: Seconds since its last beat after which a worker's connections count no more.
_LIVE = 15.0
#: SQLite: a few readers beside the one writer; more connections would only be more threads.
_SQLITE_MAX = 5
#: What a process takes that only submits or looks.
_VISITOR_MAX = 2
#: Names the lock under which workers are admitted.
_LOCK_KEY = 0x7061_6366

# What the server leaves to others than superusers, and the limits of our database and role.
_SERVER_MAX = text(
    """
    SELECT LEAST(
        current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int
            - COALESCE(current_setting('reserved_connections', true)::int, 0),
        (SELECT NULLIF(datconnlimit, -1) FROM pg_database WHERE datname = current_database()),
        (SELECT NULLIF(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user)
    )
    """
)


@dataclass(frozen=True, slots=True)
class PoolShape:
    """A process's pool: connections to keep, and to open beyond them."""

    size: int
    overflow: int

    @property
    def total(self) -> int:
        """Most connections that it may open."""
        return self.size + self.overflow


def pool_shape(
    settings: StoreSettings, *, embedded: bool, worker: bool, limit: int | None
) -> PoolShape:
    """What a process's pool is made like.

    Args:
        settings: the ceiling.
        embedded: whether the database is SQLite.
        worker: whether the process works on runs.
        limit: what the process was admitted with, when it was.
    """
    total = settings.pool_size + settings.max_overflow
    if limit is not None:
        total = min(total, max(1, limit))
    elif not worker:
        total = min(total, _VISITOR_MAX)
    if embedded:
        total = min(total, _SQLITE_MAX)
    size = min(settings.pool_size, total)
    return PoolShape(size, total - size)


async def budget(database: Database, settings: StoreSettings) -> Budget:
    """See ``Store.budget``."""
    return await database.read(lambda connection: _sum(connection, database, settings, ()))


async def admit(
    database: Database, settings: StoreSettings, records: Sequence[WorkerRecord]
) -> tuple[int, str | None]:
    """See ``Store.admit_workers``."""
    shape = pool_shape(settings, embedded=database.dialect == "sqlite", worker=True, limit=None)

    async def change(connection: AsyncConnection) -> tuple[int, str | None]:
        if database.dialect == "postgresql":
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})"))
        replaced = {record.worker_id for record in records}
        found = await _sum(connection, database, settings, replaced)
        each, warning = share(found, settings, shape, processes=len(records))
        for record in records:
            await workers.put(connection, replace(record, pool_max=each))
        return each, warning

    return await database.write(change)


def share(
    found: Budget, settings: StoreSettings, shape: PoolShape, *, processes: int
) -> tuple[int, str | None]:
    """What each of some new processes may open, and a warning where that is less than asked.

    Raises:
        BudgetError: it does not fit, and may or can not be made to fit.
    """
    if found.free is None or processes * shape.total <= found.free:
        return shape.total, None
    total = processes * shape.total + found.reserve + found.registered
    words = (
        f"{count(processes, 'process', 'processes')} × ({shape.size} + {shape.overflow}) "
        f"+ {found.reserve} reserved + {found.registered} already registered = {total}, "
        f"but the server allows {found.server_max}"
    )
    each = shrunk(found.free, processes)
    if settings.budget == "refuse" or each < 1:
        fix = "start fewer processes, lower store.pool_size and store.max_overflow"
        if each >= 1:
            fix += ', set store.budget = "shrink"'
        raise BudgetError(
            f"database connections: {words}; {fix}, or raise the server's max_connections"
        )
    return each, f"database pools sized down to {each} for each process: {words}"


async def _sum(
    connection: AsyncConnection,
    database: Database,
    settings: StoreSettings,
    without: Collection[str],
) -> Budget:
    others = [
        record
        for record in await workers.live(connection, max_age=_LIVE)
        if record.worker_id not in without
    ]
    server_max = None
    if database.dialect == "postgresql":
        server_max = await connection.scalar(_SERVER_MAX)
    return Budget(
        server_max=server_max,
        reserve=settings.reserve,
        registered=sum(record.pool_max for record in others),
    )
