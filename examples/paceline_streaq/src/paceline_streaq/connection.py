"""streaQ's connection to Redis, and its errors turned into those of paceline."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import streaq
from coredis.exceptions import AuthenticationError, AuthorizationError, RedisError
from paceline import PacelineError, PartRejected, PartUnavailable, RedisSettings

from paceline_streaq import StreaqOptions
from paceline_streaq.message import decode, encode

#: Errors that mean that Redis is unreachable, restarting or full.
UNREACHABLE = (RedisError, OSError, TimeoutError)


def worker_arguments(settings: RedisSettings, options: StreaqOptions) -> dict[str, Any]:
    """What a client and a worker of one queue have in common."""
    url = settings.url
    return {
        "redis_url": "" if url is None else url.get_secret_value(),
        "queue_name": f"{settings.prefix}:{options.queue}",
        "serializer": encode,
        "deserializer": decode,
        "idle_timeout": options.idle_timeout,
        "redis_kwargs": {
            "connect_timeout": settings.timeout,
            # A worker waits for messages for up to `idle_timeout`.
            "stream_timeout": options.idle_timeout + settings.timeout,
            "max_connections": settings.max_connections,
            "client_name": "paceline",
        },
    }


def place_of(settings: RedisSettings) -> str:
    """The server in words, without user and password: ``Redis at host:6379/0``."""
    url = urlsplit("" if settings.url is None else settings.url.get_secret_value())
    return f"Redis at {url.netloc.rpartition('@')[2]}{url.path}"


def first_error(error: BaseException) -> BaseException:
    """The first error in nested groups of errors."""
    inner: Sequence[BaseException] = getattr(error, "exceptions", ())
    return first_error(inner[0]) if inner else error


def unavailable(place: str, error: BaseException) -> PacelineError:
    """The error of paceline for an error of the client."""
    error = first_error(error)
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, AuthenticationError | AuthorizationError):
        return PartRejected(f"{place} rejects this process: {reason}; check redis.url")
    return PartUnavailable(f"{place} cannot be reached: {reason}")


class Connection:
    """A client of the queue, opened on first use.

    streaQ's client belongs to the task that opened it. Callers come from any task, so a task of
    this object opens and closes the client.
    """

    def __init__(self, settings: RedisSettings, options: StreaqOptions) -> None:
        self.place = place_of(settings)
        self._timeout = settings.timeout
        self._arguments = worker_arguments(settings, options)
        self._holder: asyncio.Task[None] | None = None
        self._client: asyncio.Future[streaq.Worker[None]] | None = None

    @asynccontextmanager
    async def client(self) -> AsyncGenerator["streaq.Worker[None]"]:
        """The client, for commands that take no longer than ``redis.timeout`` together.

        Raises:
            PartUnavailable: Redis does not answer, or returns an error.
            PartRejected: Redis rejects the user or the password.
        """
        try:
            async with asyncio.timeout(self._timeout):
                if self._client is None or self._holder is None or self._holder.done():
                    self._client = asyncio.get_running_loop().create_future()
                    self._holder = asyncio.create_task(self._hold(self._client))
                yield await asyncio.shield(self._client)
        except TimeoutError:
            raise PartUnavailable(
                f"{self.place} cannot be reached: no answer within {self._timeout:g} s"
            ) from None
        except UNREACHABLE as error:
            raise unavailable(self.place, error) from None

    async def _hold(self, opened: "asyncio.Future[streaq.Worker[None]]") -> None:
        """Keep a client open until this task is cancelled."""
        try:
            async with streaq.Worker[None](**self._arguments) as client:
                opened.set_result(client)
                await asyncio.Event().wait()
        except Exception as error:  # noqa: BLE001 - the caller gets it
            if not opened.done():
                opened.set_exception(unavailable(self.place, error))
                opened.exception()  # a caller that timed out does not fetch it

    async def close(self) -> None:
        """Disconnect. The next use connects again."""
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.cancel()
            await asyncio.wait({holder})
