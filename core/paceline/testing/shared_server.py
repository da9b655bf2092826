"""A server that serves all calls at once, in virtual time."""

import asyncio
import heapq
import itertools
from collections.abc import Callable


class SharedServer:
    """Serves all calls at once, each at a speed that their number gives (processor sharing).

    All get on alike, so one sum says how far everybody is, and who needs least is next.
    """

    def __init__(self, speed: Callable[[int], float]) -> None:
        self._speed = speed
        self._done = 0.0
        self._since = 0.0
        self._order = itertools.count()
        self._calls: list[tuple[float, int, asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def serve(self, work: float) -> None:
        """Wait until a call that takes so long alone is served."""
        loop = asyncio.get_running_loop()
        self._advance(loop.time())
        served = loop.create_future()
        call = (self._done + work, next(self._order), served)
        heapq.heappush(self._calls, call)
        self._arm(loop)
        try:
            await served
        except asyncio.CancelledError:
            self._advance(loop.time())
            if call in self._calls:
                self._calls.remove(call)
                heapq.heapify(self._calls)
            self._arm(loop)
            raise

    def _advance(self, now: float) -> None:
        if self._calls:
            self._done += (now - self._since) * self._speed(len(self._calls))
        self._since = now

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._calls:
            left = max(0.0, self._calls[0][0] - self._done)
            self._timer = loop.call_later(left / self._speed(len(self._calls)), self._next, loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._advance(loop.time())
        while self._calls and self._calls[0][0] <= self._done + 1e-9:
            served = heapq.heappop(self._calls)[2]
            if not served.done():  # cancelled in the same moment
                served.set_result(None)
        self._arm(loop)
