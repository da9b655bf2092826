"""The buses keep the contract of event buses."""

import pytest
from paceline.events import EventBus
from paceline.testing.contracts import EventBusContract
from paceline_adapters.memory.bus import MemoryBus

from tests.events.places import KEPT, redis_bus


class TestMemoryBus(EventBusContract):
    kept = KEPT

    def bus(self) -> EventBus:
        return MemoryBus(max_length=KEPT)


class TestRedisBus(EventBusContract):
    kept = KEPT
    virtual = False

    @pytest.fixture(autouse=True)
    def _redis(self, redis_url: str) -> None:
        self.url = redis_url

    def bus(self) -> EventBus:
        return redis_bus(self.url)
