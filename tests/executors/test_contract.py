"""The executors with a broker keep the contract of executors, on a real Valkey.

That ``in-process`` does is the example of the documentation, which is run with it. Celery's takes
minutes, and is one of the long suites; what it promises is tested in `tests/celery` each time.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from paceline.testing.contracts import ExecutorContract


class OverRedis(ExecutorContract):
    inspects = True
    broker = True
    options: ClassVar[Mapping[str, object]] = {}

    @pytest.fixture(autouse=True)
    def _redis(self, redis_url: str) -> None:
        self.url = redis_url

    def settings(self) -> Mapping[str, Any]:
        return self.at(self.url)

    def unreachable(self) -> Mapping[str, Any]:
        return self.at("redis://127.0.0.1:1/0")

    def at(self, url: str) -> Mapping[str, Any]:
        return {"redis": {"url": url}, "executors": {self.executor: self.options}}


class TestArq(OverRedis):
    executor = "arq"
    options: ClassVar = {"poll_delay": 0.05}


@pytest.mark.soak
class TestCeleryPrefork(OverRedis):
    executor = "celery"
    options: ClassVar = {"pool": "prefork"}


@pytest.mark.soak
class TestCeleryThreads(OverRedis):
    executor = "celery"
    options: ClassVar = {"pool": "threads"}
