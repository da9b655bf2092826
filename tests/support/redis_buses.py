"""Event buses over Redis, one for each process that a test pretends to have."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from paceline.settings.model import RedisSettings
from paceline_adapters.redis.bus import RedisBus
from paceline_adapters.redis.connection import Link
from pydantic import SecretStr

KEPT = 100


def redis_bus(url: str, *, kept: int = KEPT, keep: float = 60.0, timeout: float = 5.0) -> RedisBus:
    """The bus of one more process."""
    link = Link(RedisSettings(url=SecretStr(url), timeout=timeout), connections=4)
    return RedisBus(link, prefix="test", max_length=kept, keep=keep)


@asynccontextmanager
async def redis_buses(url: str, count: int, *, kept: int = KEPT) -> AsyncIterator[list[RedisBus]]:
    """The buses of this number of processes, closed at the end."""
    made = [redis_bus(url, kept=kept) for _ in range(count)]
    try:
        yield made
    finally:
        for bus in made:
            await bus.close()
