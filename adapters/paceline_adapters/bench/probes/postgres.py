"""The database's side, as the server itself counts and logs it.

Sampled from ``pg_stat_activity`` over one connection of our own, which is in another database
and so not among what it counts; statements from ``pg_stat_statements``; transactions, the
durations of commits and waits for locks from the server's log.
"""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from paceline.testing.servers import Postgres

#: Seconds between two samples of connections.
EVERY = 0.05

#: What a server must be told so that this probe can read it.
SETTINGS = {
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "all",
    "pg_stat_statements.track_utility": "on",
    "log_min_duration_statement": "0",
    # Contents of artifacts would make the log, and its cost, many times larger.
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
    """Backends of the cell at one moment; ``at`` is seconds since 1970."""

    at: float
    connections: int
    active: int


@dataclass(slots=True)
class DatabaseFigures:
    """What a database went through.

    Attributes:
        samples: of its connections.
        statements: that were executed.
        transactions: that were begun, single statements included.
        commits: durations of ``COMMIT``, seconds.
        lock_waits: of 10 ms and more.
    """

    samples: list[Sample] = field(default_factory=list[Sample])
    statements: int = 0
    transactions: int = 0
    commits: list[float] = field(default_factory=list[float])
    lock_waits: int = 0


class DatabaseProbe:
    """Watches one database from entering to leaving the block.

    Args:
        server: a server with ``SETTINGS`` and the extension ``pg_stat_statements``.
        database: the cell's own.
    """

    def __init__(self, server: Postgres, database: str) -> None:
        self._server = server
        self._database = database
        self.figures = DatabaseFigures()

    async def __aenter__(self) -> "DatabaseProbe":
        """Begin."""
        import asyncpg

        driver: Any = asyncpg  # it has no types
        self._connection: Any = await driver.connect(
            self._server.url_of("postgres", scheme="postgresql"),
            server_settings={"application_name": "paceline-bench"},
        )
        self._statements: Any = await self._connection.fetchval(_STATEMENTS, self._database)
        self._log = self._server.home / "server.log"
        self._from = self._log.stat().st_size
        self._began = time.time()
        await self._look()
        self._sampling = asyncio.create_task(self._sample())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """End, and read what the server counted and logged meanwhile."""
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
            due = max(due + EVERY, loop.time())
            await asyncio.sleep(due - loop.time())
            await self._look()

    async def _look(self) -> None:
        row = await self._connection.fetchrow(_ACTIVITY, self._database)
        self.figures.samples.append(Sample(time.time(), row[0], row[1]))


def read_log(log: Path, offset: int, database: str, *, until: float, into: DatabaseFigures) -> None:
    """Count the lines of a database from an offset on, up to a moment."""
    transactions: set[str] = set()
    with log.open("rb") as file:
        file.seek(offset)
        for raw in file:
            if not raw.startswith(b"@"):
                continue  # the rest of a statement that has several lines
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
