"""Check ``store.url``, convert it for the driver, and name the database in errors."""

from dataclasses import dataclass
from typing import Literal

from paceline import SettingsError
from pydantic import SecretStr
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

Dialect = Literal["sqlite", "postgresql"]

_DRIVERS: dict[str, str] = {"sqlite": "aiosqlite", "postgresql": "asyncpg"}
_PARAMETERS = (
    "application_name",
    "connect_timeout",
    "host",
    "port",
    "prepared_statement_cache_size",
    "ssl",
    "sslmode",
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is.

    Attributes:
        url: URL for the driver. Its text form hides the password.
        dialect: kind of the database.
        place: name of the database in errors, without the password.
        application_name: name of our connections in the server's views.
        connect_timeout: seconds; ``None`` if the URL does not set it.
    """

    url: URL
    dialect: Dialect
    place: str
    application_name: str = "paceline"
    connect_timeout: float | None = None


def parse_url(secret: SecretStr) -> Address:
    """Check ``store.url`` and convert it for the driver.

    Raises:
        SettingsError: it is not a URL, or names a database or driver that paceline does not
            support.
    """
    try:
        url = make_url(secret.get_secret_value())
    except (ArgumentError, ValueError):
        raise SettingsError(
            "store.url: not a database URL (allowed: sqlite:///FILE, "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE)"
        ) from None
    name, _, driver = url.drivername.partition("+")
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
    return _sqlite(url) if name == "sqlite" else _postgresql(url)


def _sqlite(url: URL) -> Address:
    if url.host or url.username or url.query:
        raise SettingsError(
            "store.url: an sqlite URL must contain only a path: sqlite:///relative/path.db or "
            "sqlite:////absolute/path.db"
        )
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise SettingsError(
            "store.url: sqlite needs a file (sqlite:///FILE); "
            "for a store that is lost when its process ends, use memory:"
        )
    return Address(url, "sqlite", f"database file {url.database}")


def _postgresql(url: URL) -> Address:
    query = {
        key: value if isinstance(value, str) else value[-1] for key, value in url.query.items()
    }
    unknown = sorted(set(query) - set(_PARAMETERS))
    if unknown:
        raise SettingsError(
            f"store.url: unknown parameter {', '.join(unknown)} (allowed: {', '.join(_PARAMETERS)})"
        )
    name = query.pop("application_name", "paceline")
    timeout = query.pop("connect_timeout", None)
    # libpq calls it sslmode, asyncpg ssl; the values are the same.
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    try:
        seconds = None if timeout is None else float(timeout)
    except ValueError:
        raise SettingsError(
            f"store.url: connect_timeout must be a number of seconds, got {timeout!r}"
        ) from None
    url = url.set(query=query)
    host = url.host or query.get("host") or "localhost"
    place = f"database {url.database or url.username or ''!r} at {host}"
    if url.port:
        place += f":{url.port}"
    return Address(url, "postgresql", place, name, seconds)
