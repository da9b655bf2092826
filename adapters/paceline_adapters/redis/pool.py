"""Pools of connections to Redis, made from the settings."""

import codecs
from typing import Any, cast

from paceline import RedisSettings, SettingsError
from redis.asyncio import BlockingConnectionPool

from paceline_adapters.redis.tls import tls_options


def make_pool(settings: RedisSettings, *, connections: int, **options: Any) -> Any:
    """Create a pool. It connects on first use, and more users than connections wait.

    Args:
        settings: the URL of Redis, and the timeout.
        connections: number of connections that may be open at once.
        options: more options of redis-py's connections.

    Raises:
        SettingsError: ``redis.url`` is not valid.
    """
    url = "" if settings.url is None else settings.url.get_secret_value()
    tls = tls_options(url)
    try:
        pool: Any = cast("Any", BlockingConnectionPool).from_url(
            url,
            max_connections=connections,
            timeout=settings.timeout,
            socket_timeout=settings.timeout,
            socket_keepalive=True,
            protocol=2,
            client_name="paceline",
            **options,
            **tls,
        )
        made = cast("dict[str, Any]", pool.connection_kwargs)
        pool.connection_class(**made)  # raises for unknown options
        codecs.lookup(made.get("encoding", "utf-8"))
    except Exception:  # noqa: BLE001
        # The client's own message may contain the password.
        raise SettingsError(
            "redis.url is not valid: it must be redis://[user:password@]host:port/db, "
            "rediss://… for TLS or unix:///path?db=0, with special characters as %XX"
        ) from None
    return pool


def place_of(pool: Any) -> str:
    """The server in words, without user and password: ``Redis at host:6379/0``."""
    options = cast("dict[str, Any]", pool.connection_kwargs)
    address = options.get("path")
    if address is None:
        host, port = options.get("host", "localhost"), options.get("port", 6379)
        address = f"{host}:{port}/{options.get('db') or 0}"
    return f"Redis at {address}"
