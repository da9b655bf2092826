"""The schema's version: which one the database has, and how to bring it up to date.

A database of the right version costs one query; Alembic is imported only to change one.
``upgrade`` and ``current`` serve ``paceline db``: they block, and belong on a thread without
an event loop.
"""

import asyncio
import threading
from pathlib import Path

from paceline import SchemaVersionError, StoreSettings
from pydantic import SecretStr
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.engine import PATIENCE, must_open, single_connection
from paceline_adapters.sql.faults import (
    is_database_error,
    is_passing,
    missing_table,
    unavailable,
)
from paceline_adapters.sql.retry import patiently
from paceline_adapters.sql.url import Address, parse_url

#: Versions of the schema, oldest first; each is a file in ``migrations/versions``.
VERSIONS = ("0001", "0002", "0003", "0004")
NEWEST = VERSIONS[-1]

MIGRATIONS = Path(__file__).parent / "migrations"

#: Names our lock among the advisory locks of a PostgreSQL database.
_LOCK_KEY = 0x7061_6365
# Alembic keeps the migration that runs in module globals: one at a time in a process.
_alone = threading.Lock()


async def version_of(connection: AsyncConnection) -> str | None:
    """The schema's version, or ``None`` in a database without one."""
    try:
        result = await connection.execute(text("SELECT version_num FROM alembic_version"))
    except DBAPIError as error:
        if missing_table(error):
            return None
        raise
    return result.scalar_one_or_none()


def check(version: str | None, address: Address) -> bool:
    """Whether the version is the one we need; ``False`` if it is missing or older.

    Raises:
        SchemaVersionError: it is newer.
    """
    if is_newer(version):
        raise SchemaVersionError(
            f"{address.place}: its schema ({version}) is newer than this paceline knows "
            f"({NEWEST}): upgrade paceline"
        )
    return version == NEWEST


def is_newer(version: str | None) -> bool:
    """Whether a later paceline made the schema: this one can neither use nor change it."""
    return version is not None and version not in VERSIONS


def needs_upgrade(version: str | None, address: Address) -> SchemaVersionError:
    """What to raise where the schema is missing or old, and is not ours to change unasked."""
    found = "it has no schema yet" if version is None else f"its schema ({version}) is old"
    return SchemaVersionError(f"{address.place}: {found}; run: paceline db upgrade")


def upgrade(url: SecretStr, settings: StoreSettings | None = None) -> tuple[str | None, str]:
    """Bring the database's schema up to date; of several callers at once, one does it.

    Returns:
        The version before and the version now.

    Raises:
        SettingsError: the URL is wrong.
        SchemaVersionError: the schema is newer than this paceline.
        PartUnavailable: the database cannot be reached, or refuses.
    """
    address = parse_url(url)
    with _alone:
        return asyncio.run(_patient(address, settings or StoreSettings(), change=True))


def current(url: SecretStr, settings: StoreSettings | None = None) -> str | None:
    """The schema's version, or ``None`` in a database without one. Raises as ``upgrade``."""
    address = parse_url(url)
    if address.dialect == "sqlite" and not Path(address.url.database or "").exists():
        return None  # looking must not create the file
    return asyncio.run(_patient(address, settings or StoreSettings(), change=False))[0]


async def _patient(
    address: Address, settings: StoreSettings, *, change: bool
) -> tuple[str | None, str]:
    try:
        # What passes by itself at this point is another process doing the same.
        return await patiently(
            lambda: _visit(address, settings, change=change),
            patience=PATIENCE,
            passing=lambda error: isinstance(error, DBAPIError) and is_passing(error),
        )
    except Exception as error:
        if not is_database_error(error):
            raise
        raise unavailable(error, address) from None


async def _visit(
    address: Address, settings: StoreSettings, *, change: bool
) -> tuple[str | None, str]:
    must_open(address)
    engine = single_connection(address, settings)
    try:
        async with engine.connect() as connection:
            version = await version_of(connection)
            # A failed query leaves PostgreSQL's transaction unusable.
            await connection.rollback()
            if not change or check(version, address):
                return version, version or ""
            if address.dialect == "sqlite":
                # Kept in the file. Readers do not wait for writers from now on.
                await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                await connection.rollback()
        async with engine.execution_options(paceline_write=True).begin() as connection:
            if address.dialect == "postgresql":
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})"))
            await connection.run_sync(_migrate)
            return version, NEWEST
    finally:
        await engine.dispose()


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    # It does nothing where somebody else has upgraded while we waited for the lock.
    command.upgrade(config, "head")
