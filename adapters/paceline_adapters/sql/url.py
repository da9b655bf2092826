"""Check ``store.url``, convert it for the driver, and name the database in errors."""

import getpass
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from paceline import SettingsError
from pydantic import SecretStr
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from paceline_adapters.sql.server_url import Server, hosts_of, server_of

Dialect = Literal["sqlite", "postgresql"]

_DRIVERS: dict[str, str] = {"sqlite": "aiosqlite", "postgresql": "asyncpg"}
_ALIASES = {"postgres": "postgresql"}  # libpq knows both


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is.

    Attributes:
        url: URL for the driver. Its text form hides the password.
        dialect: kind of the database.
        place: name of the database in errors, without the password.
        file: absolute path of an SQLite database; empty for a server.
        server: how to connect to it, if it is a server.
    """

    url: URL
    dialect: Dialect
    place: str
    file: str = ""
    server: Server = field(default_factory=Server)


def parse_url(secret: SecretStr) -> Address:
    """Check ``store.url`` and convert it for the driver.

    Raises:
        SettingsError: it is not a URL, or names a database or driver that paceline does not
            support.
    """
    try:
        hosts, text = hosts_of(secret.get_secret_value())
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise SettingsError(
            "store.url: not a database URL (allowed: sqlite:///FILE, "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE)"
        ) from None
    name, _, driver = url.drivername.partition("+")
    name = _ALIASES.get(name, name)
    if name not in _DRIVERS:
        raise SettingsError(
            f"store.url: unknown database {name!r} (allowed: {', '.join(_DRIVERS)})"
        )
    if driver not in ("", _DRIVERS[name]):
        raise SettingsError(
            f"store.url: the driver for {name} must be {_DRIVERS[name]}, got {driver} "
            f"(allowed: {name}://, {name}+{_DRIVERS[name]}://)"
        )
    url = url.set(drivername=f"{name}+{_DRIVERS[name]}")
    return _sqlite(url, secret) if name == "sqlite" else _postgresql(url, hosts)


def _sqlite(url: URL, secret: SecretStr) -> Address:
    if "?" in secret.get_secret_value():
        raise SettingsError(
            "store.url: an sqlite URL has no parameters (the part after ?); if the question mark "
            "is part of the file's name, write it as %3F"
        )
    if url.host or url.username:
        raise SettingsError(
            "store.url: an sqlite URL must contain only a path: sqlite:///relative/path.db or "
            "sqlite:////absolute/path.db"
        )
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise SettingsError(
            "store.url: sqlite needs a file (sqlite:///FILE); "
            "for a store that is lost when its process ends, use memory:"
        )
    place = f"database file {url.database}"
    try:
        file = Path(url.database).absolute()
    except FileNotFoundError:
        raise SettingsError(
            f"store.url: {url.database} is relative to the working folder, which was deleted: "
            "change to another folder"
        ) from None
    if _is_read_only(file):
        # Without its log, the file is all there is, and SQLite need not create another file.
        query = {"uri": "true", "mode": "ro", **({} if _log_of(file).exists() else _IMMUTABLE)}
        url = url.set(database=f"file:{quote(str(file))}", query=query)
    else:
        url = url.set(database=str(file))
    return Address(url, "sqlite", place, str(file))


_IMMUTABLE = {"immutable": "1"}


def _log_of(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


def _is_read_only(file: Path) -> bool:
    """Whether only another user can write a database, or the files that SQLite puts beside it."""
    beside = _log_of(file) if _log_of(file).exists() else file.parent
    return file.exists() and not (os.access(file, os.W_OK) and os.access(beside, os.W_OK))


def _postgresql(url: URL, hosts: str) -> Address:
    given = url.query.get("host", "")
    host = url.host or ""
    if not hosts and host:
        hosts = f"[{host}]" if ":" in host else host
        hosts += f":{url.port}" if url.port else ""
    where = hosts or (given if isinstance(given, str) else ",".join(given)) or "localhost"
    place = f"database {url.database or url.username or ''!r} at {where}"
    _check_user(url)
    # The driver gets everything from the server's options: the URL only names the driver.
    return Address(URL.create(url.drivername), "postgresql", place, server=server_of(url, hosts))


def _check_user(url: URL) -> None:
    """Check that the driver finds a user: in a container, a user id may have no name."""
    if url.username or os.environ.get("PGUSER"):
        return
    try:
        getpass.getuser()
    except (KeyError, OSError):
        raise SettingsError(
            f"store.url names no user, and the user id {os.getuid()} has no name: "
            "write postgresql://USER@HOST/DATABASE"
        ) from None
