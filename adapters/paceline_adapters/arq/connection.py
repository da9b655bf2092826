"""arq's connection to Redis, and its errors turned into ours."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from arq.connections import ArqRedis
from paceline import PartUnavailable, RedisSettings
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as NoAnswer

from paceline_adapters.arq.message import decode, encode
from paceline_adapters.redis.errors import unavailable
from paceline_adapters.redis.pool import make_pool

#: Errors that mean that Redis is unreachable, restarting or full.
UNREACHABLE = (RedisError, OSError, TimeoutError)

#: Maximum number of seconds to connect: a healthy server accepts at once.
_CONNECT = 5.0
#: Milliseconds until a queued run expires. None is ever too old, so this is very long.
_KEEP_QUEUED = 60 * 24 * 3600 * 1000


def connect(settings: RedisSettings) -> ArqRedis:
    """Create a client. It connects on first use; close it with ``aclose``.

    While the server restarts, a command is retried for about a second.

    Raises:
        SettingsError: ``redis.url`` is not a Redis URL.
    """
    pool = make_pool(
        settings,
        connections=settings.max_connections,
        socket_connect_timeout=min(_CONNECT, settings.timeout),
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 4),
        retry_on_error=[LostConnection, NoAnswer],
    )
    return ArqRedis(
        pool, job_serializer=encode, job_deserializer=decode, expires_extra_ms=_KEEP_QUEUED
    )


@asynccontextmanager
async def answering(place: str, seconds: float) -> AsyncGenerator[None, None]:
    """Limit the block to a number of seconds, and turn the errors of the client into ours.

    Args:
        place: the server in words, such as ``Redis at host:6379/0``.
        seconds: time after which Redis counts as unreachable.

    Raises:
        PartUnavailable: Redis does not answer, or rejects a command.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise PartUnavailable(
            f"{place} cannot be reached: no answer within {seconds:g} s"
        ) from None
    except UNREACHABLE as error:
        raise unavailable(place, error) from None
