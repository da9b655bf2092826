"""Counts how often SQLite's write lock was another process's when we asked for it."""

import sqlite3
from collections.abc import Callable
from typing import Any

#: How our writing transactions begin.
BEGIN = "BEGIN IMMEDIATE"


def counting(waited: Callable[[], object], *, timeout: float) -> type[sqlite3.Connection]:
    """A connection class that tells of each transaction that has to wait for another writer.

    SQLite itself does not say: so it is asked once without patience, and if it refuses, with.
    Both happen in the connection's thread and cost microseconds.

    Args:
        waited: called, in the connection's thread, before the wait.
        timeout: seconds to wait then.
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
                waited()
                super().execute(f"PRAGMA busy_timeout={timeout * 1000:.0f}")
                super().execute(sql)
            finally:
                super().execute(f"PRAGMA busy_timeout={timeout * 1000:.0f}")
            return self

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

    return Connection
