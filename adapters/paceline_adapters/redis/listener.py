"""What is published reaches us: one subscription per process, renewed when it breaks."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from paceline import PartUnavailable
from paceline.tasks import start_background
from redis.exceptions import ConnectionError as LostConnection

from paceline_adapters.redis.connection import BROKEN, Backoff, Link, Subscription, heeding

log = logging.getLogger("paceline.redis")


class Listener:
    """Hears channels.

    Args:
        link: the connections; one of them is taken.
        heard: called with each message.
        anew: called when channels are heard again after what may have been a gap.
        silence: seconds without a message after which the server is asked for a sign of life.
    """

    def __init__(
        self,
        link: Link,
        *,
        heard: Callable[[str], None],
        anew: Callable[[], None],
        silence: float,
    ) -> None:
        self._link = link
        self._heard = heard
        self._anew = anew
        self._silence = silence
        self._wanted: set[str] = set()
        self._confirmed: set[str] = set()
        self._progress: asyncio.Future[None] | None = None
        self._pubsub: Subscription | None = None
        self._task: asyncio.Task[None] | None = None

    async def join(self, *channels: str) -> None:
        """Hear these channels from now on; returns when the server said so.

        Raises:
            PartUnavailable: it did not in time.
        """
        fresh = [channel for channel in channels if channel not in self._wanted]
        self._wanted.update(fresh)
        if self._task is None:
            self._task = start_background(self._listen_for_ever())
        elif self._pubsub is not None and fresh:
            with suppress(*BROKEN):  # the task notices as well, and subscribes to all anew
                await heeding(self._pubsub.subscribe(*fresh))
        try:
            async with asyncio.timeout(self._link.timeout):
                while not self._confirmed.issuperset(channels):
                    if self._progress is None:
                        self._progress = asyncio.get_running_loop().create_future()
                    await asyncio.shield(self._progress)
        except TimeoutError:
            raise PartUnavailable(f"{self._link.place} does not confirm a subscription") from None

    async def close(self) -> None:
        """Hear nothing more."""
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
            finally:
                self._pubsub = None
                self._confirmed.clear()
                with suppress(*BROKEN):
                    await pubsub.aclose()
            await backoff.pause()

    async def _listen(self, pubsub: Subscription, backoff: Backoff) -> None:
        asked: set[str] = set()
        while late := self._wanted - asked:
            asked |= late
            await heeding(pubsub.subscribe(*late))
        self._pubsub = pubsub
        expected: frozenset[str] = frozenset(asked)
        loop = asyncio.get_running_loop()
        last, asked_for_life = loop.time(), False
        while True:
            message = await heeding(pubsub.get_message(timeout=self._silence))
            if message is None:
                if loop.time() < last + self._silence:
                    continue
                if asked_for_life:
                    raise LostConnection("no sign of life")
                await heeding(pubsub.ping())
                last, asked_for_life = loop.time(), True
                continue
            last, asked_for_life = loop.time(), False
            if message["type"] == "subscribe":
                self._confirm(message["channel"])
                if expected and self._confirmed >= expected:
                    expected = frozenset()
                    backoff.reset()
                    self._anew()
            elif message["type"] == "message":
                self._heard(message["data"])

    def _confirm(self, channel: str) -> None:
        self._confirmed.add(channel)
        progress, self._progress = self._progress, None
        if progress is not None:
            progress.set_result(None)
