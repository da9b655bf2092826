"""Where a database keeps the version of our schema, next to the tables of a host application.

The version is in a table of our own. Earlier versions of paceline kept it in Alembic's default
table, which the host's migrations may use, too. `take_over` moves it from there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Column, Connection, MetaData, String, Table, delete, inspect, select

from paceline_adapters.sql.tables import metadata

#: Table with the version of our schema.
VERSION_TABLE = "paceline_version"

_own = Table(VERSION_TABLE, MetaData(), Column("version_num", String))
_shared = Table("alembic_version", MetaData(), Column("version_num", String))
_FIRST_TABLES = {"runs", "roadmaps", "concepts", "artifacts", "workers"}


@dataclass(frozen=True, slots=True)
class Found:
    """What a database contains.

    Attributes:
        version: version of our schema; ``None`` without one.
        shared: whether the version is in the table that a host application may share.
        foreign: tables with names of ours, in a database without our schema.
    """

    version: str | None = None
    shared: bool = False
    foreign: Sequence[str] = ()


def find_version(connection: Connection, known: Sequence[str]) -> Found:
    """Read the version. In Alembic's table, only a ``known`` version is ours.

    The names of tables are read first. If another process creates the schema meanwhile, its
    tables therefore cannot look like those of another application.
    """
    schema = schema_of(connection)
    inspector = inspect(connection)
    here = inspector.default_schema_name if schema is None else schema
    names = {*inspector.get_table_names(here), *inspector.get_view_names(here)}
    visible = {*inspector.get_table_names(schema), *names}  # also later in the search path
    if VERSION_TABLE in visible:
        return Found(connection.scalar(select(_own.c.version_num)))
    if _shared.name in visible and visible >= _FIRST_TABLES:
        versions = set(connection.scalars(select(_shared.c.version_num))) & set(known)
        if len(versions) == 1:
            return Found(versions.pop(), shared=True)
    return Found(foreign=sorted(names & set(metadata.tables)))


def remove_shared(connection: Connection, version: str) -> None:
    """Remove our version from Alembic's table, and the table if no other version is in it."""
    connection.execute(delete(_shared).where(_shared.c.version_num == version))
    if connection.scalar(select(_shared.c.version_num).limit(1)) is None:
        _shared.drop(connection)


def schema_of(connection: Connection) -> str | None:
    """The PostgreSQL schema of our tables; ``None`` for the first of the search path."""
    schema: str | None = (
        connection.get_execution_options().get("schema_translate_map", {}).get(None)
    )
    return schema


def schema_options(schema: str | None) -> dict[str, object]:
    """Execution options for tables that are in a PostgreSQL schema."""
    return {} if schema is None else {"schema_translate_map": {None: schema}}
