"""The OpenAI provider keeps the contract of providers, over HTTP with the simulator."""

import socket
from collections.abc import Mapping
from typing import Any

import pytest
from paceline.contracts.provider import Provider
from paceline.settings.model import ProviderSettings
from paceline.testing.contracts import ProviderContract
from paceline.testing.contracts.provider import Behaviour
from paceline_adapters.openai.provider import OpenAIProvider
from paceline_adapters.simulator.options import SimulatorOptions
from paceline_adapters.simulator.server import SimulatorServer, running

pytestmark = pytest.mark.usefixtures("either_way")

KEY = "sk-simulated-0123456789abcdef"

SERVERS: Mapping[Behaviour, Mapping[str, Any]] = {
    "refuses": {"faults": {"429": 1.0}, "speed": 1.0},
    "fails": {"faults": {"500": 1.0}},
    "bars": {"api_key": "another"},
    "babbles": {"faults": {"truncated": 1.0}},
    "hangs": {"faults": {"hang": 1.0}},
}


class TestOpenAI(ProviderContract):
    refuses = fails = away = rejects = bars = babbles = hangs = True
    counts = watches = True
    retry_after = 1.0
    secret = KEY
    server: SimulatorServer

    async def provider(self, does: Behaviour) -> Provider:
        options = SimulatorOptions.model_validate({"speed": 10_000, **SERVERS.get(does, {})})
        self.server = await self.opened.enter_async_context(running(options))
        settings = ProviderSettings.model_validate(
            {
                "base_url": nowhere() if does == "away" else self.server.base_url,
                "api_key": KEY,
            }
        )
        # OpenAI and the simulator refuse it in a request that is no stream.
        body = {"stream_options": {"include_usage": True}} if does == "rejects" else None
        return OpenAIProvider(settings, body=body)

    def attempts(self) -> int:
        figures = self.server.figures()
        return figures.requests + figures.rejected

    def in_flight(self) -> int:
        return self.server.figures().in_flight


def nowhere() -> str:
    """An address of this host without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
