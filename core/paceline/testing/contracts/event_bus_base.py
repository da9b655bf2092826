"""What an author declares about an event bus, and how the suite opens one."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import ClassVar

from paceline.contracts.events import EventBus
from paceline.testing.contracts.contract import Contract


class EventBusScenarios(Contract):
    """How the suite opens buses."""

    kept: ClassVar[int] = 100
    loses: ClassVar[bool] = False
    steps: ClassVar[int] = 20

    def bus(self) -> EventBus:
        """Make your bus, empty when the test begins; called on the event loop.

        If it is ``shared``, each call is another process that sees the same runs.
        """
        raise NotImplementedError(f"{type(self).__name__}.bus() must return the bus to test")

    async def lose(self) -> None:
        """Lose all retained events; called only if you declare ``loses``."""
        raise NotImplementedError(f"{type(self).__name__}.lose() must lose all retained events")

    async def new_bus(self) -> EventBus:
        """A new bus, closed at the end of the scenario. The scenario has 60 s."""
        bus = self.bus()
        self.opened.push_async_callback(bus.close)
        await self.opened.enter_async_context(_within(60))
        return bus


@asynccontextmanager
async def _within(seconds: float) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise AssertionError(
            "lost event: a subscriber waits for a published event that never arrived"
        ) from None
