"""Counts how often another process held SQLite's write lock when we needed it."""

import sqlite3
from collections.abc import Callable
from typing import Any

#: The statement that starts a writing transaction.
BEGIN = "BEGIN IMMEDIATE"


def connection_class(on_wait: Callable[[], object], *, timeout: float) -> type[sqlite3.Connection]:
    """A connection class that reports each transaction that has to wait for another writer.

    SQLite does not report that. The class therefore tries without a timeout first, and with a
    timeout if the lock is taken. Both happen in the connection's thread and cost microseconds.

    Args:
        on_wait: called in the connection's thread before the wait.
        timeout: maximum number of seconds to wait.
    """

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, parameters: Any = (), /) -> "Cursor":
            if sql != BEGIN:
                super().execute(sql, parameters)
                return self
            super().execute("PRAGMA busy_timeout=0")
            try:
                super().execute(sql)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                on_wait()
                super().execute(f"PRAGMA busy_timeout={timeout * 1000:.0f}")
                super().execute(sql)
            finally:
                super().execute(f"PRAGMA busy_timeout={timeout * 1000:.0f}")
            return self

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

    return Connection
