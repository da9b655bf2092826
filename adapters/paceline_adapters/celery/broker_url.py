"""The URL of the broker: ``redis.url``, written as Celery expects it."""

import codecs
import importlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from paceline import RedisSettings, SettingsError

from paceline_adapters.redis.tls import tls_options


def broker_url(settings: RedisSettings) -> str:
    """Return the URL for Celery.

    Raises:
        SettingsError: ``redis.url`` is not set or not valid.
    """
    if settings.url is None:
        raise SettingsError(
            "redis.url is not set, and executor 'celery' needs it: set redis.url in the "
            "settings file, or PACELINE_REDIS__URL in the environment"
        )
    url = settings.url.get_secret_value()
    tls = tls_options(url)
    try:
        return _translated(url, tls)
    except Exception:  # noqa: BLE001
        # The text of the error may contain the URL with its password.
        raise SettingsError(
            "redis.url is not valid: write it as redis://user:password@host:6379/0, "
            "rediss:// for TLS, or unix:///path"
        ) from None


def _translated(url: str, tls: Mapping[str, bool]) -> str:
    connection: Any = importlib.import_module("redis.connection")
    # All other parts connect through redis-py, so its reading of the URL is the right one.
    parsed: dict[str, Any] = dict(connection.parse_url(url))
    # Raises for an option that does not exist or has a wrong value.
    codecs.lookup(parsed.get("encoding", "utf-8"))
    parsed.pop("connection_class", connection.Connection)(**parsed)
    database = int(parsed.get("db") or 0)
    parts = urlsplit(url)
    if parts.scheme == "unix":
        user, at, _ = parts.netloc.rpartition("@")
        return f"redis+socket://{user}{at}{parts.path}?virtual_host={database}"
    # Celery checks certificates only if the URL requires it.
    query = {"ssl_cert_reqs": "required"} if parts.scheme == "rediss" else {}
    query |= {name: str(value).lower() for name, value in tls.items()}
    query |= {name: value for name, value in parse_qsl(parts.query) if name.startswith("ssl_")}
    return urlunsplit((parts.scheme, parts.netloc, f"/{database}", urlencode(query), ""))
