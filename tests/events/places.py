"""Where an event bus can be: what a test of the contract needs of each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from paceline.events import Event, EventBus, EventType
from paceline.settings.model import RedisSettings
from paceline.testing.virtual_time import run_virtual
from paceline_adapters.memory.bus import MemoryBus
from paceline_adapters.redis.bus import RedisBus
from paceline_adapters.redis.connection import Link
from pydantic import SecretStr

T = TypeVar("T")
KEPT = 100


def event(
    finished: int,
    type_: EventType = "content_generation_progress",
    *,
    fence: int = 1,
    run: str = "r",
) -> Event:
    """An event of a run, told apart by how many concepts it says are finished."""
    return Event(
        type=type_,
        task_id=run,
        roadmap_id="roadmap",
        status="x",
        progress_current=finished,
        progress_total=99,
        fence=fence,
    )


def snapshot(finished: int = 0, *, fence: int = 1) -> Event:
    """The event that opens a claim."""
    return event(finished, "content_generation_snapshot", fence=fence)


def the_end(finished: int = 99, *, fence: int = 1) -> Event:
    """The last event of a run."""
    return event(finished, "content_generation_finished", fence=fence)


async def hear(
    bus: EventBus, count: int, after: str | None = None, *, run: str = "r"
) -> list[Event]:
    """That many events of a run."""
    heard: list[Event] = []
    async with asyncio.timeout(20), aclosing(bus.subscribe(run, after)) as events:
        while len(heard) < count:
            heard.append(await anext(events))
    return heard


def numbers(events: list[Event]) -> list[int]:
    """What ``event`` was given; -1 for a ``resync_required``."""
    return [-1 if one.type == "resync_required" else one.progress_current for one in events]


def redis_bus(url: str, *, kept: int = KEPT, keep: float = 60.0, timeout: float = 5.0) -> RedisBus:
    """The bus of one more process."""
    link = Link(RedisSettings(url=SecretStr(url), timeout=timeout), connections=4)
    return RedisBus(link, prefix="test", max_length=kept, keep=keep)


@asynccontextmanager
async def redis_buses(url: str, count: int, *, kept: int = KEPT) -> AsyncIterator[list[RedisBus]]:
    """The buses of that many processes; closed in the end."""
    made = [redis_bus(url, kept=kept) for _ in range(count)]
    try:
        yield made
    finally:
        for bus in made:
            await bus.close()


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of bus, and how to run what uses it."""

    make: Callable[[], EventBus]
    runner: Callable[[Coroutine[Any, Any, Any]], Any]

    def run(self, scenario: Callable[[EventBus], Coroutine[Any, Any, T]]) -> T:
        """Run a scenario on a new bus."""

        async def with_bus() -> T:
            bus = self.make()
            try:
                return await scenario(bus)
            finally:
                await bus.close()

        result: T = self.runner(with_bus())
        return result


def in_memory() -> Place:
    """The bus of one process, in virtual time."""
    return Place(lambda: MemoryBus(max_length=KEPT), run_virtual)


def in_redis(url: str) -> Place:
    """The bus of many processes, in real time."""
    return Place(lambda: redis_bus(url), asyncio.run)
