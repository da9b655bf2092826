"""arq's connection to Redis, and its errors turned into ours."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urlsplit

from arq.connections import ArqRedis
from paceline import PartUnavailable, RedisSettings, SettingsError
from redis.asyncio.connection import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as NoAnswer

from paceline_adapters.arq.message import decode, encode

#: Errors that mean that Redis is unreachable, restarting or full.
UNREACHABLE = (RedisError, OSError, TimeoutError)

#: Maximum number of seconds to connect: a healthy server accepts at once.
_CONNECT = 5.0
#: Milliseconds until a queued run expires. None is ever too old, so this is very long.
_KEEP_QUEUED = 60 * 24 * 3600 * 1000


def connect(settings: RedisSettings, queue: str) -> ArqRedis:
    """Create a client for a queue. It connects on first use; close it with ``aclose``.

    While the server restarts, a command is retried for about a second.

    Raises:
        SettingsError: ``redis.url`` is not a Redis URL.
    """
    url = "" if settings.url is None else settings.url.get_secret_value()
    try:
        pool: Any = cast("Any", BlockingConnectionPool).from_url(
            url,
            max_connections=settings.max_connections,
            timeout=settings.timeout,
            socket_timeout=settings.timeout,
            socket_connect_timeout=min(_CONNECT, settings.timeout),
            socket_keepalive=True,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 4),
            retry_on_error=[LostConnection, NoAnswer],
            protocol=2,
            client_name="paceline",
            **settings.tls_options(),
        )
        pool.connection_class(**pool.connection_kwargs)  # raises if an option does not exist
    except (ValueError, TypeError, RedisError):
        # The text of the error may contain the URL with its password.
        raise SettingsError(
            "redis.url is not valid: write it as redis://[user:password@]host:port/db, "
            "rediss:// for TLS, or unix:///path?db=0; write special characters as %XX"
        ) from None
    return ArqRedis(
        pool,
        job_serializer=encode,
        job_deserializer=decode,
        default_queue_name=queue,
        expires_extra_ms=_KEEP_QUEUED,
    )


def address(settings: RedisSettings) -> str:
    """The address of Redis in words, without user and password."""
    url = urlsplit("" if settings.url is None else settings.url.get_secret_value())
    if url.scheme == "unix":
        return f"Redis at {url.path}"
    return f"Redis at {url.hostname or 'localhost'}:{url.port or 6379}"


def reason(error: BaseException) -> str:
    """The first line of an error, or its type if it has no text."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@asynccontextmanager
async def answering(settings: RedisSettings) -> AsyncGenerator[None, None]:
    """Limit the block to ``redis.timeout`` seconds, and turn its errors into ours.

    Raises:
        PartUnavailable: Redis does not answer, or rejects a command.
    """
    try:
        async with asyncio.timeout(settings.timeout):
            yield
    except TimeoutError:
        raise PartUnavailable(
            f"{address(settings)} cannot be reached: no answer within {settings.timeout:g} s"
        ) from None
    except UNREACHABLE as error:
        raise PartUnavailable(f"{address(settings)} cannot be reached: {reason(error)}") from None
