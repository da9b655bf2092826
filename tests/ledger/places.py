"""Where a ledger can be: what a test of the contract needs of each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from paceline.ledger import Ledger
from paceline.settings.model import RedisSettings
from paceline.testing.virtual_time import run_virtual
from paceline_adapters.memory.ledger import MemoryLedger
from paceline_adapters.redis.connection import Link
from paceline_adapters.redis.ledger import RedisLedger
from pydantic import SecretStr

T = TypeVar("T")


def link_to(url: str, *, connections: int = 4, timeout: float = 5.0) -> Link:
    """Connections as a part of a process has them."""
    return Link(RedisSettings(url=SecretStr(url), timeout=timeout), connections=connections)


def redis_ledger(url: str, *, lease: float = 30.0, settle_in: float = 0.0) -> RedisLedger:
    """The ledger of one more process."""
    return RedisLedger(link_to(url), prefix="test", lease_seconds=lease, settle_in=settle_in)


@asynccontextmanager
async def redis_ledgers(
    url: str, count: int, *, lease: float = 30.0
) -> AsyncIterator[list[RedisLedger]]:
    """The ledgers of that many processes; closed in the end."""
    made = [redis_ledger(url, lease=lease) for _ in range(count)]
    try:
        yield made
    finally:
        for ledger in made:
            await ledger.close()


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of ledger, and how to run what uses it."""

    make: Callable[[], Ledger]
    runner: Callable[[Coroutine[Any, Any, Any]], Any]

    def run(self, scenario: Callable[[Ledger], Coroutine[Any, Any, T]]) -> T:
        """Run a scenario on a new ledger."""

        async def with_ledger() -> T:
            ledger = self.make()
            try:
                return await scenario(ledger)
            finally:
                await ledger.close()

        result: T = self.runner(with_ledger())
        return result


def in_memory() -> Place:
    """The ledger of one process, in virtual time."""
    return Place(MemoryLedger, run_virtual)


def in_redis(url: str) -> Place:
    """The ledger of many processes, in real time."""
    return Place(lambda: redis_ledger(url), asyncio.run)
