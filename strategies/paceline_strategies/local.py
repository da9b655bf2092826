"""Admission within this process: first come, first served, up to a limit."""

import asyncio

from paceline import Outcome, Permit

from paceline_strategies.limits import Limit, Sample


class LocalLimiter:
    """Hands out as many permits at once as its limit says.

    Args:
        limit: the arithmetic; asked anew at each admission and release.
    """

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._held = 0
        self._waiters: dict[asyncio.Future[None], None] = {}

    @property
    def held(self) -> int:
        """Permits that are out."""
        return self._held

    @property
    def waiting(self) -> int:
        """How many wait for a permit."""
        return len(self._waiters)

    @property
    def idle(self) -> bool:
        """Whether nothing is held and nobody waits."""
        return not self._held and not self._waiters

    async def admit(self) -> Permit:
        """Wait for a permit, behind those who came before."""
        loop = asyncio.get_running_loop()
        if self._waiters or self._held >= self._limit.limit:
            waiter = loop.create_future()
            self._waiters[waiter] = None
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._held -= 1  # it was our turn in the same moment
                self._waiters.pop(waiter, None)
                self._serve()
                raise
        else:
            self._held += 1
        since = loop.time()

        def release(outcome: Outcome) -> None:
            now = loop.time()
            in_flight, self._held = self._held, self._held - 1
            self._limit.observe(
                Sample(now=now, seconds=now - since, in_flight=in_flight, outcome=outcome)
            )
            self._serve()

        return Permit(release)

    def _serve(self) -> None:
        while self._waiters and self._held < self._limit.limit:
            waiter = next(iter(self._waiters))
            del self._waiters[waiter]
            if not waiter.done():
                # Counted here, not when it wakes: nobody may slip in between.
                self._held += 1
                waiter.set_result(None)
