"""The connection to Redis that arq is given, and its errors in our words."""

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

#: What a Redis that is away, restarting or full is seen by.
UNREACHABLE = (RedisError, OSError, TimeoutError)

#: Seconds that connecting may take: a server that answers at all does so at once.
_CONNECT = 5.0
#: Milliseconds that a run may lie in the queue. Nothing in it is ever too old for us.
_KEEP_QUEUED = 60 * 24 * 3600 * 1000


def connect(settings: RedisSettings, queue: str) -> ArqRedis:
    """A client for a queue; it connects when it is used. To be closed with ``aclose``.

    A command that meets a restarting server is tried again for about a second.

    Raises:
        SettingsError: ``redis.url`` is no Redis URL.
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
        pool.connection_class(**pool.connection_kwargs)  # finds options that there are not
    except (ValueError, TypeError, RedisError):
        # Its text may quote the URL, password and all.
        raise SettingsError(
            "redis.url is not valid: allowed is redis://[user:password@]host:port/db, "
            "rediss:// for TLS, unix:///path?db=0; special characters as %XX"
        ) from None
    return ArqRedis(
        pool,
        job_serializer=encode,
        job_deserializer=decode,
        default_queue_name=queue,
        expires_extra_ms=_KEEP_QUEUED,
    )


def place(settings: RedisSettings) -> str:
    """Where Redis is, in words, without user and password."""
    url = urlsplit("" if settings.url is None else settings.url.get_secret_value())
    if url.scheme == "unix":
        return f"Redis at {url.path}"
    return f"Redis at {url.hostname or 'localhost'}:{url.port or 6379}"


def why(error: BaseException) -> str:
    """The first line of an error, or its name where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@asynccontextmanager
async def answering(settings: RedisSettings) -> AsyncGenerator[None, None]:
    """Bound what happens within to ``redis.timeout`` seconds and put its errors in words.

    Raises:
        PartUnavailable: Redis does not answer, or refuses us.
    """
    try:
        async with asyncio.timeout(settings.timeout):
            yield
    except TimeoutError:
        raise PartUnavailable(
            f"{place(settings)} cannot be reached: no answer within {settings.timeout:g} s"
        ) from None
    except UNREACHABLE as error:
        raise PartUnavailable(f"{place(settings)} cannot be reached: {why(error)}") from None
