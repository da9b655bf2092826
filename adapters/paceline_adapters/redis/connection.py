"""Connections to Redis: bounded, retried for a limited time, and without secrets in messages."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any, Protocol, TypeVar, cast

from paceline import PartRejected, RedisSettings
from paceline.tasks import cancel_and_wait
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as NoAnswer

from paceline_adapters.redis.errors import unavailable
from paceline_adapters.redis.pool import make_pool, place_of
from paceline_adapters.redis.server import ServerFacts, ask_server

T = TypeVar("T")
Word = str | int | bytes

_ATTEMPTS = 4


class Backoff:
    """Pauses between attempts: full jitter below a bound that doubles.

    Args:
        first: upper bound of the first pause, in seconds.
        most: upper bound of all pauses, in seconds.
    """

    def __init__(self, *, first: float = 0.05, most: float = 1.0) -> None:
        self._first = first
        self._most = most
        self._failures = 0

    async def pause(self) -> None:
        """Wait. The bound doubles with each pause since the last ``reset``."""
        bound = min(self._most, self._first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        await asyncio.sleep(random.uniform(0, bound))  # noqa: S311

    def reset(self) -> None:
        """Start again with the first bound, because an attempt succeeded."""
        self._failures = 0


async def cancellable(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await the client's coroutine. A cancellation ends it at once, even if the client does not."""
    inner = asyncio.get_running_loop().create_task(coroutine)
    try:
        await asyncio.wait({inner})
    except asyncio.CancelledError:
        await cancel_and_wait(inner)
        if not inner.cancelled():
            inner.exception()  # retrieved, so that asyncio does not log it
        raise
    return inner.result()


class Script:
    """A Lua script. The server identifies it by its digest."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = sha1(text.encode(), usedforsecurity=False).hexdigest()

    @classmethod
    def read(cls, *parts: str) -> "Script":
        """The script made of these files of the folder ``lua``, in this order."""
        folder = files("paceline_adapters.redis").joinpath("lua")
        return cls("\n".join(folder.joinpath(f"{part}.lua").read_text("utf-8") for part in parts))


class Subscription(Protocol):
    """The part of the client's subscriptions that we use."""

    async def subscribe(self, *channels: str) -> None:
        """Subscribe to these channels."""

    async def get_message(self, *, timeout: float) -> dict[str, Any] | None:
        """Return the next message, or ``None`` after ``timeout`` seconds."""

    async def ping(self) -> None:
        """Ping the server; its answer arrives as a message."""

    async def aclose(self) -> None:
        """Return the connection to the pool."""


class Link:
    """One part's connections to Redis.

    Args:
        settings: the URL of Redis, and the timeout.
        connections: number of connections that may be open at once; more users wait.

    Raises:
        SettingsError: the URL is not valid.
    """

    def __init__(self, settings: RedisSettings, *, connections: int) -> None:
        self.timeout = settings.timeout
        pool = make_pool(
            settings,
            connections=connections,
            socket_connect_timeout=settings.timeout,
            # We retry ourselves, because only we know which commands may be sent twice.
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            # Invalid bytes written by others must not break the connection.
            encoding_errors="replace",
        )
        self.place = place_of(pool)
        # Any: the client's type hints differ between its versions.
        self._client = cast("Any", Redis(connection_pool=pool))
        # Raw answers, which are the same in all versions of the client.
        self._client.set_response_callback("XREAD", _raw)
        self._client.set_response_callback("INFO", _raw)

    async def execute(self, *words: Word, attempts: int = _ATTEMPTS) -> Any:
        """Send a command and return its answer.

        Args:
            words: the command. Each attempt may reach the server.
            attempts: how often to try while the connection fails, within the timeout.

        Raises:
            PartUnavailable: no attempt was answered, or the server returned an error.
            PartRejected: the server rejects the user, the password or the command.
        """

        async def send() -> Any:
            return await self._client.execute_command(*words)

        return await self._retry(send, attempts)

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Word]) -> Any:
        """Run a script that may safely run twice. Raises like ``execute``."""
        return (await self.run_each(script, [(keys, args)]))[0]

    async def run_each(
        self, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[Word]]]
    ) -> list[Any]:
        """Run a script once per pair of keys and arguments, in one round trip."""

        async def send() -> list[Any]:
            answers = await self._pipeline("EVALSHA", script.digest, calls)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                again = await self._pipeline("EVAL", script.text, calls)
                pairs = zip(answers, again, strict=True)
                answers = [new if isinstance(old, NoScriptError) else old for old, new in pairs]
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
            return answers

        return await self._retry(send, _ATTEMPTS)

    def pubsub(self) -> Subscription:
        """A subscription. It occupies one connection of the pool until it is closed."""
        return cast("Subscription", self._client.pubsub())

    async def server(self) -> ServerFacts:
        """Ask what kind of server answers. Raises like ``execute``."""
        return await ask_server(self.execute)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose(close_connection_pool=True)

    async def _pipeline(
        self, command: str, script: str, calls: Sequence[tuple[Sequence[str], Sequence[Word]]]
    ) -> list[Any]:
        if len(calls) == 1:
            keys, args = calls[0]
            try:
                return [
                    await self._client.execute_command(command, script, len(keys), *keys, *args)
                ]
            except NoScriptError as error:
                return [error]
        async with self._client.pipeline(transaction=False) as pipe:
            for keys, args in calls:
                pipe.execute_command(command, script, len(keys), *keys, *args)
            return cast("list[Any]", await pipe.execute(raise_on_error=False))

    async def _retry(self, send: Callable[[], Coroutine[Any, Any, T]], attempts: int) -> T:
        loop = asyncio.get_running_loop()
        until = loop.time() + self.timeout
        backoff = Backoff()
        while True:
            attempts -= 1
            try:
                return await cancellable(send())
            except ReadOnlyError as error:  # after a failover, the name has another address
                await self._client.connection_pool.disconnect(inuse_connections=False)
                failure = unavailable(self.place, error)
            except (RedisError, OSError) as error:
                failure = unavailable(self.place, error)
                if not isinstance(error, LostConnection | NoAnswer | OSError):
                    raise failure from None
            if isinstance(failure, PartRejected) or attempts <= 0 or loop.time() >= until:
                raise failure from None
            await backoff.pause()


#: Errors after which a connection cannot be used any more.
BROKEN = (RedisError, OSError)


def _raw(answer: Any, **_: object) -> Any:
    return answer
