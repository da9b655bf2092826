"""The buses keep the contract of event buses."""

import pytest
from paceline.contracts.events import EventBus
from paceline.testing.contracts import EventBusContract
from paceline.testing.servers import Valkey
from paceline_adapters.memory.bus import MemoryBus

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
    def _redis(self, redis_url: str, valkey_server: Valkey) -> None:
        self.url, self.server = redis_url, valkey_server

    def bus(self) -> EventBus:
        return redis_bus(self.url)

    async def lose(self) -> None:
        database = int(self.url.rpartition("/")[2])
        self.server.command("FLUSHDB", database=database)


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
