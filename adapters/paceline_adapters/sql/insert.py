"""``INSERT … ON CONFLICT`` of both databases."""

from typing import TYPE_CHECKING, Union

from sqlalchemy import Table
from sqlalchemy.dialects import sqlite

from paceline_adapters.sql.url import Dialect

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

#: An insertion that can say what happens with rows that exist.
Upsert = Union["postgresql.Insert", sqlite.Insert]


def insert_into(table: Table, dialect: Dialect) -> Upsert:
    """Begin an insertion that can say what happens with rows that exist."""
    if dialect == "sqlite":
        return sqlite.insert(table)
    # Importing this dialect takes a tenth of a command's start, also if SQLite is used.
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)
