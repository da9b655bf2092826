"""Read and upgrade the version of the schema.

Alembic is imported only for an upgrade. ``upgrade`` and ``current`` block, so call them on a
thread without an event loop.
"""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

from paceline import SchemaVersionError, StoreSettings
from pydantic import SecretStr
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.engine import PATIENCE, must_open, single_connection
from paceline_adapters.sql.faults import is_database_error, is_transient, missing_table, unavailable
from paceline_adapters.sql.retry import retry
from paceline_adapters.sql.url import Address, parse_url

#: Versions of the schema, oldest first. Each has a file in ``migrations/versions``.
VERSIONS = ("0001", "0002", "0003", "0004", "0005")
NEWEST = VERSIONS[-1]

MIGRATIONS = Path(__file__).parent / "migrations"

#: Key of our advisory lock in a PostgreSQL database.
_LOCK_KEY = 0x7061_6365
# Alembic keeps the running migration in module globals: one at a time per process.
_one_at_a_time = threading.Lock()


async def version_of(connection: AsyncConnection) -> str | None:
    """Return the version of the schema; ``None`` in a database without one."""
    try:
        result = await connection.execute(text("SELECT version_num FROM alembic_version"))
    except DBAPIError as error:
        if missing_table(error):
            return None
        raise
    return result.scalar_one_or_none()


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


def needs_upgrade(version: str | None, address: Address) -> SchemaVersionError:
    """The error for a missing or old schema on a server: only the user upgrades it."""
    found = "it has no schema yet" if version is None else f"its schema ({version}) is old"
    return SchemaVersionError(f"{address.place}: {found}; run: paceline db upgrade")


def upgrade(url: SecretStr, settings: StoreSettings | None = None) -> tuple[str | None, str]:
    """Upgrade the schema. If several processes call this at once, one of them upgrades.

    Returns:
        The version before and the version now.

    Raises:
        SettingsError: the URL is wrong.
        SchemaVersionError: the schema is newer than this paceline.
        PartUnavailable: the database cannot be reached, or refuses.
    """
    address = parse_url(url)
    with _one_at_a_time:
        return asyncio.run(_retried(address, settings or StoreSettings(), change=True))


def current(url: SecretStr, settings: StoreSettings | None = None) -> str | None:
    """Return the version of the schema; ``None`` without one. Raises the errors of ``upgrade``."""
    address = parse_url(url)
    if address.dialect == "sqlite" and not Path(address.url.database or "").exists():
        return None  # reading the version must not create the file
    return asyncio.run(_retried(address, settings or StoreSettings(), change=False))[0]


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
        raise unavailable(error, address) from None


async def _attempt(
    address: Address, settings: StoreSettings, *, change: bool
) -> tuple[str | None, str]:
    must_open(address)
    engine = single_connection(address, settings)
    try:
        async with engine.connect() as connection:
            version = await version_of(connection)
            # In PostgreSQL a failed query makes the transaction unusable.
            await connection.rollback()
            if not change or is_current(version, address):
                return version, version or ""
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
        # This does nothing if another process upgraded while we waited for the lock.
        command.upgrade(config, "head")

    return migrate
