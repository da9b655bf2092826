"""The executors with a broker keep the contract of executors, on a real Valkey.

That ``in-process`` does is the example of the documentation, which is run with it. Celery's takes
minutes, and is one of the long suites; what it promises is tested in `tests/celery` each time.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar

import pytest
from paceline.testing.contracts import ExecutorContract

from tests.support.hosted_redis import (
    ARQ_RULES,
    CELERY_RULES,
    RULES,
    hosted_url,
    redis_cluster,
    redis_for,
)


class OverRedis(ExecutorContract):
    inspects = True
    broker = True
    options: ClassVar[Mapping[str, object]] = {}

    @pytest.fixture(autouse=True)
    def _redis(self, redis_url: str) -> Iterator[None]:
        with self.server(redis_url) as self.url:
            yield

    def server(self, redis_url: str) -> AbstractContextManager[str]:
        """The server to use; yields its URL."""
        return nullcontext(redis_url)

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
class TestArqForAUserWithFewPermissions(TestArq):
    @contextmanager
    def server(self, redis_url: str) -> Iterator[str]:
        with redis_for(f"{RULES} {ARQ_RULES}".format(prefix="paceline")) as server:
            yield hosted_url(server)


@pytest.mark.soak
class TestArqOnACluster(TestArq):
    @contextmanager
    def server(self, redis_url: str) -> Iterator[str]:
        with redis_cluster() as server:
            yield server.url

    def at(self, url: str) -> Mapping[str, Any]:
        settings = super().at(url)
        return {**settings, "redis": {"url": url, "prefix": "{paceline}"}}


@pytest.mark.soak
class TestCeleryForAUserWithFewPermissions(OverRedis):
    executor = "celery"
    options: ClassVar = {"pool": "threads"}

    @contextmanager
    def server(self, redis_url: str) -> Iterator[str]:
        with redis_for(CELERY_RULES.format(prefix="paceline")) as server:
            yield hosted_url(server)


@pytest.mark.soak
class TestCeleryPrefork(OverRedis):
    executor = "celery"
    options: ClassVar = {"pool": "prefork"}


@pytest.mark.soak
class TestCeleryThreads(OverRedis):
    executor = "celery"
    options: ClassVar = {"pool": "threads"}
