"""The ledgers keep the contract of ledgers."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import pytest
from paceline.contracts.admission.ledger import Ledger
from paceline.testing.contracts import LedgerContract
from paceline.testing.lease_ledger import LeaseLedger
from paceline_adapters.memory.ledger import MemoryLedger

from tests.support.hosted_redis import RULES, hosted_url, redis_for
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
    def _redis(self, redis_url: str) -> Iterator[None]:
        with self.server(redis_url) as self.url:
            yield

    def server(self, redis_url: str) -> AbstractContextManager[str]:
        """The server to use; yields its URL."""
        return nullcontext(redis_url)

    def ledger(self) -> Ledger:
        return redis_ledger(self.url, lease=self.lease)


@pytest.mark.soak
class TestRedisLedgerOfAUserWithFewPermissions(TestRedisLedger):
    @contextmanager
    def server(self, redis_url: str) -> Iterator[str]:
        with redis_for(RULES.format(prefix="test")) as server:
            yield hosted_url(server)
