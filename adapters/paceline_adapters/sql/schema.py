"""Read and upgrade the version of the schema.

Alembic is imported only for an upgrade. ``upgrade`` and ``current`` block, so call them on a
thread without an event loop.
"""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

from paceline import DatabaseNotFound, SchemaVersionError, StoreSettings
from pydantic import SecretStr
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.engine import PATIENCE, must_open, single_connection
from paceline_adapters.sql.faults import is_database_error, is_transient, taken_name, unavailable
from paceline_adapters.sql.retry import retry
from paceline_adapters.sql.url import Address, parse_url
from paceline_adapters.sql.versions import Found, find_version, remove_shared, schema_of

#: Versions of the schema, oldest first. Each has a file in ``migrations/versions``.
VERSIONS = tuple(f"{number:04}" for number in range(1, 14))
NEWEST = VERSIONS[-1]

MIGRATIONS = Path(__file__).parent / "migrations"

#: Key of our advisory lock in a PostgreSQL database.
_LOCK_KEY = 0x7061_6365
# Alembic keeps the running migration in module globals: one at a time per process.
_one_at_a_time = threading.Lock()


async def find(connection: AsyncConnection) -> Found:
    """Find the version of the schema."""
    return await connection.run_sync(find_version, VERSIONS)


def is_current(version: str | None, address: Address) -> bool:
    """Whether this is the version that we need; ``False`` if it is missing or older.

    Raises:
        SchemaVersionError: the version is newer.
    """
    if is_newer(version):
        raise SchemaVersionError(
            f"{address.place}: its schema ({version}) is newer than this paceline knows "
            f"({NEWEST}): upgrade paceline"
        )
    return version == NEWEST


def is_newer(version: str | None) -> bool:
    """Whether a later paceline made the schema, so that this one cannot use or upgrade it."""
    return version is not None and version not in VERSIONS


def needs_upgrade(found: Found, address: Address, settings: StoreSettings) -> SchemaVersionError:
    """The error for a missing or old schema on a server: only the user upgrades it."""
    if found.foreign:
        return not_ours(f"table {found.foreign[0]}", address, settings.schema_name)
    version = found.version
    text = "it has no schema yet" if version is None else f"its schema ({version}) is old"
    return SchemaVersionError(f"{address.place}: {text}; run: paceline db upgrade")


def not_ours(what: str, address: Address, schema_name: str | None) -> SchemaVersionError:
    """The error for a table of another application that has one of our names."""
    if address.dialect == "sqlite":
        fix = "set store.url to a file of paceline's own"
    elif schema_name is None:
        fix = 'set store.schema_name, such as "paceline_store", to keep paceline\'s tables apart'
    else:
        fix = f"set store.schema_name to another schema than {schema_name}"
    return SchemaVersionError(
        f"{address.place}: {what} already exists and is not paceline's: {fix}"
    )


def upgrade(url: SecretStr, settings: StoreSettings | None = None) -> tuple[str | None, str]:
    """Upgrade the schema. If several processes call this at once, one of them upgrades.

    Returns:
        The version before and the version now.

    Raises:
        SettingsError: the URL is wrong.
        SchemaVersionError: the schema is newer than this paceline, or a table of another
            application has one of its names.
        PartUnavailable: the database cannot be reached, or refuses.
    """
    address = parse_url(url)
    with _one_at_a_time:
        return asyncio.run(_retried(address, settings or StoreSettings(), change=True))


def current(url: SecretStr, settings: StoreSettings | None = None) -> str | None:
    """Return the version of the schema; ``None`` without one. Raises the errors of ``upgrade``."""
    address = parse_url(url)
    try:
        return asyncio.run(_retried(address, settings or StoreSettings(), change=False))[0]
    except DatabaseNotFound:
        return None


async def _retried(
    address: Address, settings: StoreSettings, *, change: bool
) -> tuple[str | None, str]:
    try:
        # A transient fault here means that another process is upgrading at the same time.
        return await retry(
            lambda: _attempt(address, settings, change=change),
            patience=PATIENCE,
            transient=lambda error: isinstance(error, DBAPIError) and is_transient(error),
        )
    except Exception as error:
        if not is_database_error(error):
            raise
        taken = taken_name(error) if change else None
        if taken is not None:
            raise not_ours(taken, address, settings.schema_name) from None
        raise unavailable(error, address) from None


async def _attempt(
    address: Address, settings: StoreSettings, *, change: bool
) -> tuple[str | None, str]:
    must_open(address, create=change)
    engine = single_connection(address, settings)
    try:
        async with engine.connect() as connection:
            found = await find(connection)
            version = found.version
            await connection.rollback()
            if not change or (is_current(version, address) and not found.shared):
                return version, version or ""
            if found.foreign:
                raise not_ours(f"table {found.foreign[0]}", address, settings.schema_name)
            if address.dialect == "sqlite":
                # Stored in the file: from now on readers do not wait for writers.
                await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                await connection.rollback()
        migrate = _migration()  # the import takes a second: not while the lock is held
        async with engine.execution_options(paceline_write=True).begin() as connection:
            if address.dialect == "postgresql":
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})"))
            await connection.run_sync(migrate)
            return version, NEWEST
    finally:
        await engine.dispose()


def _migration() -> Callable[[Connection], None]:
    """Import Alembic and return the function that upgrades the schema on a connection."""
    from alembic import command
    from alembic.config import Config

    def migrate(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.attributes["connection"] = connection
        schema = schema_of(connection)
        if schema is not None:
            _enter_schema(connection, schema)
        found = find_version(connection, VERSIONS)
        if found.version is not None and found.shared:
            command.stamp(config, found.version)
            remove_shared(connection, found.version)
        # This does nothing if another process upgraded while we waited for the lock.
        command.upgrade(config, "head")

    return migrate


def _enter_schema(connection: Connection, schema: str) -> None:
    """Create the schema if it is missing. Until the transaction ends, new tables are in it.

    Raises:
        SchemaVersionError: the new schema would hide tables of a host application.
    """
    name = connection.dialect.identifier_preparer.quote_identifier(schema)
    first = text("SELECT current_schema()")
    if not inspect(connection).has_schema(schema):
        before = connection.scalar(first)
        connection.execute(text(f"CREATE SCHEMA {name}"))
        if connection.scalar(first) != before:
            raise SchemaVersionError(
                f"store.schema_name: a new schema {schema} would be the first of the search path "
                "and hide tables of other applications: choose another name, or create it first"
            )
    connection.execute(text(f"SET LOCAL search_path TO {name}"))
