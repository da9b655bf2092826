"""The built-in strategies keep the contract of strategies."""

import secrets

import pytest
from paceline import Strategy
from paceline.contracts.admission.ledger import Ledger, Quota
from paceline.testing.contracts import StrategyContract
from paceline_adapters.memory.ledger import MemoryLedger
from paceline_strategies.adaptive import AdaptiveLimit, AdaptiveOptions
from paceline_strategies.global_limit import GlobalLimit
from paceline_strategies.per_roadmap import PerRoadmap
from paceline_strategies.unbounded import Unbounded

from tests.support.redis_ledgers import redis_ledger


class TestUnbounded(StrategyContract):
    def strategy(self, ledger: Ledger) -> Strategy:
        return Unbounded()


class TestPerRoadmap(StrategyContract):
    limit = 2
    level = "concept"
    per = "run_id"

    def strategy(self, ledger: Ledger) -> Strategy:
        return PerRoadmap(2)


class TestGlobal(StrategyContract):
    limit = 2
    per = "key"
    holds_refusals = True
    shared = True

    def strategy(self, ledger: Ledger) -> Strategy:
        return GlobalLimit(Quota(concurrency=2), ledger, holder=secrets.token_hex(4))


class TestGlobalInOneProcess(StrategyContract):
    """Over the ledger of a process without Redis; such a process dies with its ledger."""

    limit = 3
    per = "key"
    holds_refusals = True
    shared = False

    def strategy(self, ledger: Ledger) -> Strategy:
        return InOneProcess(Quota(concurrency=3), ledger, holder=secrets.token_hex(4))

    def ledger(self) -> Ledger:
        return MemoryLedger()


class InOneProcess(GlobalLimit):
    shared = False


class TestGlobalOverRedis(StrategyContract):
    limit = 2
    per = "key"
    holds_refusals = True
    shared = True
    virtual = False
    examples = 2
    settles = 0.2

    @pytest.fixture(autouse=True)
    def _redis(self, redis_url: str) -> None:
        self.url = redis_url

    def strategy(self, ledger: Ledger) -> Strategy:
        return GlobalLimit(Quota(concurrency=2), ledger, holder=secrets.token_hex(4))

    def ledger(self) -> Ledger:
        return redis_ledger(self.url, lease=1.0)


class TestAdaptive(StrategyContract):
    limit = 4
    least = 2
    per = "key"
    shared = True
    holds_refusals = True

    def strategy(self, ledger: Ledger) -> Strategy:
        options = AdaptiveOptions(start=4, min=2, max=4)
        return AdaptiveLimit(options, ledger, holder=secrets.token_hex(4))


class TestAdaptiveOverRedis(TestGlobalOverRedis):
    limit = 4
    least = 2

    def strategy(self, ledger: Ledger) -> Strategy:
        options = AdaptiveOptions(start=4, min=2, max=4)
        return AdaptiveLimit(options, ledger, holder=secrets.token_hex(4))
