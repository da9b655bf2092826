"""The parameters of a PostgreSQL URL, with the meaning that libpq gives them."""

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from paceline import SettingsError
from pydantic import SecretStr
from sqlalchemy.engine import URL

#: The hosts of a URL, after a user and a password, as SQLAlchemy reads it.
_HOSTS = re.compile(r"[\w+]+://(?:[^:/@]*(?::[^@]*)?@)?([^/?]*)")
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_ATTRIBUTES = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
#: Parameters with a fixed set of values.
_CHOICES = {
    "sslmode": _SSL_MODES,
    "target_session_attrs": _ATTRIBUTES,
    # The driver has no channel binding and no GSS encryption, so it cannot require them.
    "channel_binding": ("disable", "prefer"),
    "gssencmode": ("disable", "prefer"),
    "keepalives": ("0", "1"),
}
_FILES = ("sslcert", "sslkey", "sslrootcert", "sslcrl", "passfile")
#: Parameters that the driver reads from its own URL.
_DRIVER = (
    *_FILES,
    "host",
    "port",
    "service",
    "sslmode",
    "sslnegotiation",
    "sslpassword",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "target_session_attrs",
)
#: Settings of the session, which the server reads.
_SESSION = ("application_name", "options")
_NUMBERS = (
    "connect_timeout",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)
_PARAMETERS = sorted(
    {*_CHOICES, *_DRIVER, *_SESSION, *_NUMBERS, "prepared_statement_cache_size", "ssl"}
)


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """When the kernel ends a connection without an answer from the other side.

    Attributes:
        idle: seconds without traffic before the first probe; 0 sends no probes.
        interval: seconds between probes.
        probes: number of probes without an answer.
        unsent: seconds that data may stay without an acknowledgement; 0 for the system's value.
    """

    idle: int = 10
    interval: int = 5
    probes: int = 3
    unsent: float = 20.0


@dataclass(frozen=True, slots=True)
class Server:
    """How to connect to a server.

    Attributes:
        dsn: URL for the driver: hosts and parameters, without the user and the password.
        login: user, password and database.
        session: settings of the session.
        connect_timeout: seconds; ``None`` if the URL does not set it.
        keep_alive: see ``KeepAlive``.
        pooled: whether the URL says that a pooler is in front of the server.
        system_trust: whether the machine's certificates verify the server.
    """

    dsn: str = field(default="postgresql://", repr=False)  # may contain sslpassword
    login: Mapping[str, str | SecretStr] = field(default_factory=dict[str, str | SecretStr])
    session: Mapping[str, str] = field(default_factory=dict[str, str])
    connect_timeout: float | None = None
    keep_alive: KeepAlive = KeepAlive()
    pooled: bool = False
    system_trust: bool = False

    def arguments(self) -> dict[str, Any]:
        """Arguments for the driver, with the password."""
        shown = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in self.login.items()
        }
        trust = {"ssl": ssl.create_default_context()} if self.system_trust else {}
        return {"dsn": self.dsn, **shown, **trust}


def hosts_of(text: str) -> tuple[str, str]:
    """Split ``host1:port1,host2:port2`` from a URL, because SQLAlchemy knows only one host.

    Returns:
        The hosts, and the URL with the first of them.
    """
    found = _HOSTS.match(text)
    if found is None or "," not in found[1]:
        return "", text
    start, end = found.span(1)
    return found[1], f"{text[:start]}{found[1].partition(',')[0]}{text[end:]}"


def server_of(url: URL, hosts: str) -> Server:
    """Check the parameters of a URL.

    Raises:
        SettingsError: one of them is unknown, or has a value that is not supported.
    """
    query = {
        name: value if isinstance(value, str) else ",".join(value)
        for name, value in url.query.items()
    }
    unknown = sorted(set(query) - set(_PARAMETERS))
    if unknown:
        raise SettingsError(
            f"store.url: unknown parameter {', '.join(unknown)} (allowed: {', '.join(_PARAMETERS)})"
        )
    if "ssl" in query:  # the driver's name for it
        query.setdefault("sslmode", query.pop("ssl"))
    for name, allowed in _CHOICES.items():
        if query.get(name, allowed[0]) not in allowed:
            raise SettingsError(
                f"store.url: {name} must be one of {', '.join(allowed)}, got {query[name]!r}"
                f"{_INSTEAD.get(name, '')}"
            )
    trust = query.get("sslrootcert") == "system"
    if trust:
        if query.pop("sslmode", "verify-full") != "verify-full":
            raise SettingsError("store.url: sslrootcert=system needs sslmode=verify-full")
        del query["sslrootcert"]
    for name in _FILES:
        if name in query and not Path(query[name]).is_file():
            raise SettingsError(f"store.url: {name} must be an existing file, got {query[name]}")
    login: dict[str, str | SecretStr | None] = {
        "user": url.username,
        "password": None if url.password is None else SecretStr(url.password),
        "database": url.database,
    }
    return Server(
        dsn=f"postgresql://{hosts}/?{urlencode({k: query[k] for k in _DRIVER if k in query})}",
        login={name: value for name, value in login.items() if value},
        session={"application_name": "paceline"}
        | {name: query[name] for name in _SESSION if name in query},
        connect_timeout=_number(query, "connect_timeout", float) or None,
        keep_alive=_keep_alive(query),
        pooled=query.get("prepared_statement_cache_size") == "0",
        system_trust=trust,
    )


_INSTEAD = {
    "channel_binding": "; sslmode=verify-full (with sslrootcert) protects the password as well",
    "gssencmode": "; use sslmode",
}


def _keep_alive(query: Mapping[str, str]) -> KeepAlive:
    default = KeepAlive()
    unsent = _number(query, "tcp_user_timeout", float)
    idle = _number(query, "keepalives_idle", int)
    return KeepAlive(
        idle=0 if query.get("keepalives") == "0" else idle or default.idle,
        interval=_number(query, "keepalives_interval", int) or default.interval,
        probes=_number(query, "keepalives_count", int) or default.probes,
        unsent=default.unsent if unsent is None else unsent / 1000,
    )


def _number(query: Mapping[str, str], name: str, kind: Callable[[str], Any]) -> Any:
    """A number of the query; ``None`` if it is missing."""
    try:
        number = kind(query[name]) if name in query else None
    except ValueError:
        number = -1
    if number is not None and not 0 <= number < 1e9:
        unit = "milliseconds" if name == "tcp_user_timeout" else "seconds"
        what = "a number" if name == "keepalives_count" else f"a number of {unit}"
        raise SettingsError(f"store.url: {name} must be {what}, got {query[name]!r}")
    return number
