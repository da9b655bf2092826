"""Admission within this process: first come, first served, up to a limit."""

import asyncio

from paceline import Outcome, Permit


class LocalLimiter:
    """Hands out a fixed number of permits."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._waiters: dict[asyncio.Future[None], None] = {}

    @property
    def held(self) -> int:
        """Number of permits that are out."""
        return self._held

    @property
    def waiting(self) -> int:
        """Number of waiters."""
        return len(self._waiters)

    @property
    def idle(self) -> bool:
        """Whether no permit is out and there are no waiters."""
        return not self._held and not self._waiters

    async def admit(self) -> Permit:
        """Wait for a permit, behind all earlier waiters."""
        if self._waiters or self._held >= self._limit:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters[waiter] = None
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._held -= 1  # it was served just before the cancellation
                self._waiters.pop(waiter, None)
                self._serve()
                raise
        else:
            self._held += 1
        return Permit(self._release)

    def _release(self, _: Outcome) -> None:
        self._held -= 1
        self._serve()

    def _serve(self) -> None:
        while self._waiters and self._held < self._limit:
            waiter = next(iter(self._waiters))
            del self._waiters[waiter]
            if not waiter.done():
                # Counted before the waiter wakes, so that no other task can take its permit.
                self._held += 1
                waiter.set_result(None)
