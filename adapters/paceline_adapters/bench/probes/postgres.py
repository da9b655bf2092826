"""Figures of a PostgreSQL database, from the server's own statistics and log.

Connections are sampled from ``pg_stat_activity``, over a connection to another database that is
not counted. Statements come from ``pg_stat_statements``. Transactions, durations of commits and
waits for locks come from the server's log.
"""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from paceline.testing.servers import Postgres

#: Seconds between two samples of connections.
SAMPLE_INTERVAL = 0.05

#: Server settings that this probe needs.
SETTINGS = {
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "all",
    "pg_stat_statements.track_utility": "on",
    "log_min_duration_statement": "0",
    # Otherwise the contents of artifacts would make the log many times larger.
    "log_parameter_max_length": "0",
    "log_lock_waits": "on",
    "deadlock_timeout": "10ms",
    # Epoch, database, virtual transaction: one line belongs to one cell and one transaction.
    "log_line_prefix": "@%n|%d|%v|",
}

_ACTIVITY = """
    SELECT count(*), count(*) FILTER (WHERE state <> 'idle')
    FROM pg_stat_activity
    WHERE datname = $1 AND backend_type = 'client backend'
"""
_STATEMENTS = """
    SELECT coalesce(sum(s.calls), 0)
    FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
    WHERE d.datname = $1
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """Backends of the cell at one time; ``at`` is seconds since 1970."""

    at: float
    connections: int
    active: int


@dataclass(slots=True)
class DatabaseFigures:
    """The load of one database.

    Attributes:
        transactions: number of transactions, including single statements.
        commits: durations of ``COMMIT`` in seconds.
        lock_waits: number of lock waits of at least 10 ms.
    """

    samples: list[Sample] = field(default_factory=list[Sample])
    statements: int = 0
    transactions: int = 0
    commits: list[float] = field(default_factory=list[float])
    lock_waits: int = 0


class DatabaseProbe:
    """Watches one database while its ``async with`` block runs.

    Args:
        server: a server with ``SETTINGS`` and the extension ``pg_stat_statements``.
    """

    def __init__(self, server: Postgres, database: str) -> None:
        self._server = server
        self._database = database
        self.figures = DatabaseFigures()

    async def __aenter__(self) -> "DatabaseProbe":
        """Start watching."""
        import asyncpg

        driver: Any = asyncpg  # asyncpg has no type hints
        self._connection: Any = await driver.connect(
            self._server.url_of("postgres", scheme="postgresql"),
            server_settings={"application_name": "paceline-bench"},
        )
        self._statements: Any = await self._connection.fetchval(_STATEMENTS, self._database)
        self._log = self._server.home / "server.log"
        self._from = self._log.stat().st_size
        await self._take_sample()
        self._sampling = asyncio.create_task(self._sample())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Stop watching; read the server's statistics and log."""
        ended = time.time()
        self._sampling.cancel()
        await asyncio.wait({self._sampling})
        if kind is None:
            now = await self._connection.fetchval(_STATEMENTS, self._database)
            self.figures.statements = int(now - self._statements)
            read_log(self._log, self._from, self._database, until=ended, into=self.figures)
        self._connection.terminate()

    async def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + SAMPLE_INTERVAL, loop.time())
            await asyncio.sleep(due - loop.time())
            await self._take_sample()

    async def _take_sample(self) -> None:
        row = await self._connection.fetchrow(_ACTIVITY, self._database)
        self.figures.samples.append(Sample(time.time(), row[0], row[1]))


def read_log(log: Path, offset: int, database: str, *, until: float, into: DatabaseFigures) -> None:
    """Count the log lines of a database from an offset until a time."""
    transactions: set[str] = set()
    with log.open("rb") as file:
        file.seek(offset)
        for raw in file:
            if not raw.startswith(b"@"):
                continue  # continuation of a statement with several lines
            at, name, transaction, message = raw.decode(errors="replace")[1:].split("|", 3)
            if name != database or float(at) > until:
                continue
            if not transaction.endswith("/0") and transaction:
                transactions.add(transaction)
            if "still waiting for" in message:
                into.lock_waits += 1
            elif "statement: COMMIT" in message:
                into.commits.append(float(message.partition("duration: ")[2].split()[0]) / 1000)
    into.transactions = len(transactions)
