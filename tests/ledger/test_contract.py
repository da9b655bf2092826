"""The ledgers keep the contract of ledgers."""

import pytest
from paceline.contracts.ledger import Ledger
from paceline.testing.contracts import LedgerContract
from paceline.testing.lease_ledger import LeaseLedger
from paceline_adapters.memory.ledger import MemoryLedger

from tests.support.redis_ledgers import redis_ledger


class TestMemoryLedger(LedgerContract):
    expires = False

    def ledger(self) -> Ledger:
        return MemoryLedger()


class TestLeaseLedger(LedgerContract):
    def ledger(self) -> Ledger:
        return LeaseLedger()


class TestRedisLedger(LedgerContract):
    virtual = False
    lease = 5.0

    @pytest.fixture(autouse=True)
    def _redis(self, redis_url: str) -> None:
        self.url = redis_url

    def ledger(self) -> Ledger:
        return redis_ledger(self.url, lease=self.lease)
