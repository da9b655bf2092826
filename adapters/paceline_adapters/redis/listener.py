"""Receives published messages: one subscription per process, restored after a disconnect."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from paceline import PartRejected, PartUnavailable
from paceline.tasks import start_background
from redis.exceptions import ConnectionError as LostConnection

from paceline_adapters.redis.connection import BROKEN, Backoff, Link, Subscription, cancellable
from paceline_adapters.redis.errors import unavailable

log = logging.getLogger("paceline.redis")


class Listener:
    """Subscribes to channels.

    Args:
        link: the connections; the listener uses one of them.
        on_message: called with each message.
        on_reconnect: called when the subscription is complete again and messages may be lost.
        silence: seconds without a message after which the server is pinged.
    """

    def __init__(
        self,
        link: Link,
        *,
        on_message: Callable[[str], None],
        on_reconnect: Callable[[], None],
        silence: float,
    ) -> None:
        self._link = link
        self._on_message = on_message
        self._on_reconnect = on_reconnect
        self._silence = silence
        self._wanted: set[str] = set()
        self._confirmed: set[str] = set()
        self._progress: asyncio.Future[None] | None = None
        self._pubsub: Subscription | None = None
        self._task: asyncio.Task[None] | None = None

    async def join(self, *channels: str) -> None:
        """Subscribe to these channels, and wait until the server confirms it.

        Raises:
            PartUnavailable: the server did not confirm in time.
            PartRejected: the server rejects the user, or the channels.
        """
        fresh = [channel for channel in channels if channel not in self._wanted]
        self._wanted.update(fresh)
        if self._task is None:
            self._task = start_background(self._listen_for_ever())
        elif self._pubsub is not None and fresh:
            with suppress(*BROKEN):  # the task notices it too, and subscribes to all channels again
                await cancellable(self._pubsub.subscribe(*fresh))
        try:
            async with asyncio.timeout(self._link.timeout):
                while not self._confirmed.issuperset(channels):
                    if self._progress is None:
                        self._progress = asyncio.get_running_loop().create_future()
                    await asyncio.shield(self._progress)
        except TimeoutError:
            raise PartUnavailable(f"{self._link.place} does not confirm a subscription") from None

    async def close(self) -> None:
        """Unsubscribe from all channels."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _listen_for_ever(self) -> None:
        backoff = Backoff()
        while True:
            pubsub = self._link.pubsub()
            try:
                await self._listen(pubsub, backoff)
            except BROKEN as error:
                log.debug("%s: subscription lost: %s", self._link.place, error)
                self._failed(unavailable(self._link.place, error))
            finally:
                self._pubsub = None
                self._confirmed.clear()
                with suppress(*BROKEN):
                    await pubsub.aclose()
            await backoff.pause()

    async def _listen(self, pubsub: Subscription, backoff: Backoff) -> None:
        requested: set[str] = set()
        while missing := self._wanted - requested:
            requested |= missing
            await cancellable(pubsub.subscribe(*missing))
        self._pubsub = pubsub
        expected: frozenset[str] = frozenset(requested)
        loop = asyncio.get_running_loop()
        last, pinged = loop.time(), False
        while True:
            message = await cancellable(pubsub.get_message(timeout=self._silence))
            if message is None:
                if loop.time() < last + self._silence:
                    continue
                if pinged:
                    raise LostConnection("the server does not answer a ping")
                await cancellable(pubsub.ping())
                last, pinged = loop.time(), True
                continue
            last, pinged = loop.time(), False
            if message["type"] == "subscribe":
                self._confirm(message["channel"])
                if expected and self._confirmed >= expected:
                    expected = frozenset()
                    backoff.reset()
                    self._on_reconnect()
            elif message["type"] == "message":
                self._on_message(message["data"])

    def _failed(self, error: PartUnavailable) -> None:
        """Tell those who wait for a subscription if trying again cannot help."""
        if isinstance(error, PartRejected) and self._progress is not None:
            progress, self._progress = self._progress, None
            progress.set_exception(error)
            progress.exception()  # retrieved, if the last of them has just been cancelled

    def _confirm(self, channel: str) -> None:
        self._confirmed.add(channel)
        progress, self._progress = self._progress, None
        if progress is not None:
            progress.set_result(None)
