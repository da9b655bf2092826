"""The executor keeps the contract of executors, with worker processes and a real Valkey."""

from collections.abc import Mapping
from typing import Any

import pytest
from paceline.testing.contracts import ExecutorContract


class TestStreaq(ExecutorContract):
    executor = "streaq"
    inspects = True
    broker = True

    @pytest.fixture(autouse=True)
    def _redis(self, redis_url: str) -> None:
        self.url = redis_url

    def settings(self) -> Mapping[str, Any]:
        return self.at(self.url)

    def unreachable(self) -> Mapping[str, Any]:
        return self.at("redis://127.0.0.1:1/0")

    def at(self, url: str) -> Mapping[str, Any]:
        # The task of a killed worker is soon due again.
        return {"redis": {"url": url}, "executors": {"streaq": {"idle_timeout": 2}}}
