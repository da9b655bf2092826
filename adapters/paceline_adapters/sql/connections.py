"""Database connections: the size of a pool, and a sum over all processes that fits the server."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from paceline import BudgetError, StoreSettings
from paceline.contracts.finding import Finding
from paceline.contracts.storage.records import Budget, PoolFigures, WorkerRecord
from paceline.contracts.storage.rules import reduced_pool_size
from paceline.contracts.storage.store import ConnectionStore
from paceline.text import count
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.engine import Database
from paceline_adapters.sql.workers import live_workers, put_worker

#: Seconds since the last beat for which a worker's connections count.
_LIVE = 15.0
#: Maximum for SQLite: one writer and a few readers. More connections would only be more threads.
_SQLITE_MAX = 5
#: Maximum for a process without a worker, which submits and reads only.
_CLIENT_MAX = 2
#: Key of the advisory lock that serializes the admission of workers.
_LOCK_KEY = 0x7061_6366

# Connections for ordinary users, and the limits of our database and role.
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
        """Maximum number of connections."""
        return self.size + self.overflow


def pool_shape(
    settings: StoreSettings, *, embedded: bool, worker: bool, limit: int | None
) -> PoolShape:
    """The pool of one process.

    Args:
        settings: the maximum for each process.
        embedded: whether the database is SQLite.
        worker: whether the process works on runs.
        limit: connections that the process was admitted with; ``None`` without admission.
    """
    total = settings.pool_size + settings.max_overflow
    if limit is not None:
        total = min(total, max(1, limit))
    elif not worker:
        total = min(total, _CLIENT_MAX)
    if embedded:
        total = min(total, _SQLITE_MAX)
    size = min(settings.pool_size, total)
    return PoolShape(size, total - size)


class SqlConnections(ConnectionStore):
    """The connections of an SQL store."""

    _database: Database
    _settings: StoreSettings

    def pool(self) -> PoolFigures:
        """Return the figures of this process's pool."""
        return self._database.figures()

    async def budget(self) -> Budget:
        """Return the connections of all processes and the server's limit."""
        return await self._database.read(lambda connection: self._sum(connection, ()))

    def findings(self) -> Sequence[Finding]:
        """Return what ``paceline doctor`` reports about the server."""
        found: list[Finding] = []
        if self._database.pooled:
            text = "a pooler is in front of the server: transactions share its sessions"
            found.append(Finding("ok", "store", text))
        if self._database.read_only:
            text = "the server accepts no writes: it is a standby, or set to read-only"
            fix = "connect to the primary: name all hosts, and target_session_attrs=primary"
            found.append(Finding("wrong", "store", text, fix))
        return found

    async def admit_workers(self, workers: Sequence[WorkerRecord]) -> tuple[int, str | None]:
        """Register workers that are about to start, with connections that fit the server."""
        embedded = self._database.dialect == "sqlite"
        shape = pool_shape(self._settings, embedded=embedded, worker=True, limit=None)
        replaced = {worker.worker_id for worker in workers}

        async def change(connection: AsyncConnection) -> tuple[int, str | None]:
            if not embedded:
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})"))
            others = await self._sum(connection, replaced)
            each, warning = share_out(others, self._settings, shape, processes=len(workers))
            for worker in workers:
                await put_worker(connection, replace(worker, pool_max=each))
            return each, warning

        return await self._database.write(change)

    async def _sum(self, connection: AsyncConnection, without: Collection[str]) -> Budget:
        """The connections of all processes but those of the workers ``without``."""
        workers = await live_workers(connection, max_age=_LIVE)
        server_max = None
        if self._database.dialect == "postgresql" and not self._database.pooled:
            server_max = await connection.scalar(_SERVER_MAX)
        return Budget(
            server_max=server_max,
            reserve=self._settings.reserve,
            registered=sum(
                worker.pool_max for worker in workers if worker.worker_id not in without
            ),
        )


def share_out(
    budget: Budget, settings: StoreSettings, shape: PoolShape, *, processes: int
) -> tuple[int, str | None]:
    """Decide how many connections each of several new processes may open.

    Returns:
        The number, and a warning if it is less than the settings ask for.

    Raises:
        BudgetError: the pools do not fit, and the settings or the server do not allow smaller
            ones.
    """
    if budget.free is None or processes * shape.total <= budget.free:
        return shape.total, None
    total = processes * shape.total + budget.reserve + budget.registered
    words = (
        f"{count(processes, 'process', 'processes')} × ({shape.size} + {shape.overflow}) "
        f"+ {budget.reserve} reserved + {budget.registered} already registered = {total}, "
        f"but the server allows {budget.server_max}"
    )
    each = reduced_pool_size(budget.free, processes)
    if settings.budget == "refuse" or each < 1:
        fix = "start fewer processes, lower store.pool_size and store.max_overflow"
        if each >= 1:
            fix += ', set store.budget = "shrink"'
        raise BudgetError(
            f"database connections: {words}; {fix}, or raise the server's max_connections"
        )
    return each, f"database pools sized down to {each} for each process: {words}"
