"""A server that serves all calls at once, in virtual time."""

import asyncio
import heapq
import itertools
from collections.abc import Callable


class SharedServer:
    """Serves all calls at once, at a speed that depends on their number (processor sharing).

    All calls progress alike. So one sum is the progress of all, and the call with the least work
    left ends next.

    Args:
        speed: returns the speed of each call by the number of calls; 1 is that of a single call.
    """

    def __init__(self, speed: Callable[[int], float]) -> None:
        self._speed = speed
        self._done = 0.0
        self._since = 0.0
        self._order = itertools.count()
        self._calls: list[tuple[float, int, asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def serve(self, work: float) -> None:
        """Serve a call that would take ``work`` seconds on its own."""
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
            if not served.done():  # cancelled at the same moment
                served.set_result(None)
        self._arm(loop)
