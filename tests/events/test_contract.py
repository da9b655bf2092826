"""The buses keep the contract of event buses."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import pytest
from paceline.contracts.events import EventBus
from paceline.testing.contracts import EventBusContract
from paceline.testing.servers import Valkey
from paceline_adapters.memory.bus import MemoryBus

from tests.support.hosted_redis import RULES, hosted_url, redis_for
from tests.support.redis_buses import KEPT, redis_bus


class TestMemoryBus(EventBusContract):
    kept = KEPT

    def bus(self) -> EventBus:
        return MemoryBus(max_length=KEPT)


class TestRedisBus(EventBusContract):
    kept = KEPT
    virtual = False
    loses = True
    examples = 15

    @pytest.fixture(autouse=True)
    def _redis(self, redis_url: str, valkey_server: Valkey) -> Iterator[None]:
        with self.connected(redis_url, valkey_server) as (self.url, self.server):
            yield

    def connected(self, url: str, server: Valkey) -> AbstractContextManager[tuple[str, Valkey]]:
        """The URL and the server to use."""
        return nullcontext((url, server))

    def bus(self) -> EventBus:
        return redis_bus(self.url)

    async def lose(self) -> None:
        database = int(self.url.rpartition("/")[2])
        self.server.command("FLUSHDB", database=database)


class TestRedisBusOfAUserWithFewPermissions(TestRedisBus):
    @contextmanager
    def connected(self, url: str, server: Valkey) -> Iterator[tuple[str, Valkey]]:
        with redis_for(RULES.format(prefix="test")) as limited:
            yield hosted_url(limited), limited


@pytest.mark.soak
@pytest.mark.timeout(1200)
class TestMemoryBusForLong(TestMemoryBus):
    examples = 1000
    steps = 60


@pytest.mark.soak
@pytest.mark.timeout(1200)
class TestRedisBusForLong(TestRedisBus):
    examples = 500
    steps = 60
