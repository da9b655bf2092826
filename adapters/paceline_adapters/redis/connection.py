"""Connections to Redis: bounded, patient for a while, and never telling the password."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any, Protocol, TypeVar, cast

from paceline import PartUnavailable, RedisSettings, SettingsError
from paceline.tasks import cancel_and_wait
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoScriptError,
    RedisError,
)
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import TimeoutError as NoAnswer

T = TypeVar("T")
Word = str | int | bytes

_ATTEMPTS = 4


class Backoff:
    """Pauses between attempts: full jitter below a bound that doubles.

    Args:
        first: seconds that the first pause lasts at most.
        most: seconds that any pause lasts at most.
    """

    def __init__(self, *, first: float = 0.05, most: float = 1.0) -> None:
        self._first = first
        self._most = most
        self._failures = 0

    async def pause(self) -> None:
        """Wait; the longer, the more failures came in a row."""
        bound = min(self._most, self._first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        await asyncio.sleep(random.uniform(0, bound))  # noqa: S311

    def reset(self) -> None:
        """Begin anew: it worked."""
        self._failures = 0


async def heeding(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await, and end at once when cancelled, which the client alone may not (see ``end``)."""
    inner = asyncio.get_running_loop().create_task(coroutine)
    try:
        await asyncio.wait({inner})
    except asyncio.CancelledError:
        await cancel_and_wait(inner)
        if not inner.cancelled():
            inner.exception()  # seen, and of no interest any more
        raise
    return inner.result()


class Script:
    """A Lua script, which the server knows by its digest."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = sha1(text.encode(), usedforsecurity=False).hexdigest()

    @classmethod
    def read(cls, *parts: str) -> "Script":
        """The script that files of the folder ``lua`` are, one after the other."""
        folder = files("paceline_adapters.redis").joinpath("lua")
        return cls("\n".join(folder.joinpath(f"{part}.lua").read_text("utf-8") for part in parts))


class Subscription(Protocol):
    """What we use of the client's subscriptions."""

    async def subscribe(self, *channels: str) -> None:
        """Ask to hear these channels."""

    async def get_message(self, *, timeout: float) -> dict[str, Any] | None:
        """Return the next message, or ``None`` after ``timeout`` seconds."""

    async def ping(self) -> None:
        """Ask for a sign of life, which comes as a message."""

    async def aclose(self) -> None:
        """Give the connection back."""


class Link:
    """One part's connections to Redis.

    Args:
        settings: where Redis is, and how long to wait for it.
        connections: how many may be open at once; who finds none free waits.

    Raises:
        SettingsError: the URL cannot be used.
    """

    def __init__(self, settings: RedisSettings, *, connections: int) -> None:
        url = "" if settings.url is None else settings.url.get_secret_value()
        self.timeout = settings.timeout
        try:
            pool: Any = cast("Any", BlockingConnectionPool).from_url(
                url,
                max_connections=connections,
                timeout=settings.timeout,
                socket_timeout=settings.timeout,
                socket_connect_timeout=settings.timeout,
                socket_keepalive=True,
                # We retry ourselves: only we know what may be sent twice.
                retry=Retry(NoBackoff(), 0),
                protocol=2,
                decode_responses=True,
                # A stranger's bytes must not break the reading of all that follows.
                encoding_errors="replace",
                client_name="paceline",
                **settings.tls_options(),
            )
            options = cast("dict[str, Any]", pool.connection_kwargs)
            pool.connection_class(**options)  # finds options that there are not
        except Exception:  # noqa: BLE001
            # Whatever the client makes of it, the message may quote the password.
            raise SettingsError(
                "redis.url is not valid: allowed is redis://[user:password@]host:port/db, "
                "rediss:// for TLS, unix:///path?db=0; special characters as %XX"
            ) from None
        place = options.get("path") or f"{options.get('host', 'localhost')}"
        if "path" not in options:
            place = f"{place}:{options.get('port', 6379)}/{options.get('db') or 0}"
        self.place = f"Redis at {place}"
        # Any: what the client's versions say of their types differs.
        self._client = cast("Any", Redis(connection_pool=pool))
        # The plain answers, which are the same in all versions of the client.
        self._client.set_response_callback("XREAD", _as_it_is)
        self._client.set_response_callback("INFO", _as_it_is)

    async def ask(self, *words: Word, attempts: int = _ATTEMPTS) -> Any:
        """Send a command and return the answer.

        Args:
            words: the command; it may reach the server once per attempt.
            attempts: how often to try while the connection fails, within ``timeout``.

        Raises:
            PartUnavailable: no attempt was answered, or the server refuses the command.
        """

        async def send() -> Any:
            return await self._client.execute_command(*words)

        return await self._trying(send, attempts)

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Word]) -> Any:
        """Run a script that may run twice; raises as ``ask``."""
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

        return await self._trying(send, _ATTEMPTS)

    def pubsub(self) -> Subscription:
        """A subscription, which takes one connection of the pool until it is closed."""
        return cast("Subscription", self._client.pubsub())

    async def check(self) -> str:
        """Which server answers there, in one line; raises as ``ask``."""
        text = str(await self.ask("INFO", attempts=1))
        lines = (line.partition(":") for line in text.splitlines())
        facts = {name: value for name, _, value in lines}
        if "valkey_version" in facts:
            server = f"Valkey {facts['valkey_version']}"
        else:
            server = f"Redis {facts.get('redis_version', 'of unknown version')}"
        policy = facts.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            server += f"; its maxmemory-policy {policy} may drop limits: set noeviction"
        return f"{self.place.removeprefix('Redis at ')} is {server}"

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

    async def _trying(self, send: Callable[[], Coroutine[Any, Any, T]], attempts: int) -> T:
        until = asyncio.get_running_loop().time() + self.timeout
        backoff = Backoff()
        while True:
            attempts -= 1
            try:
                return await heeding(send())
            except (AuthenticationError, AuthorizationError) as error:
                raise self.unavailable(error) from None
            except (LostConnection, NoAnswer, OSError) as error:
                if attempts <= 0 or asyncio.get_running_loop().time() >= until:
                    raise self.unavailable(error) from None
            except RedisError as error:
                raise PartUnavailable(f"{self.place} refuses: {_line(error)}") from None
            await backoff.pause()

    def unavailable(self, error: Exception) -> PartUnavailable:
        """What to raise when there is no connection."""
        return PartUnavailable(f"{self.place} cannot be reached: {_line(error)}")


#: What a connection raises when it is no good any more.
BROKEN = (RedisError, OSError)


def _as_it_is(answer: Any, **_: object) -> Any:
    return answer


def _line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
