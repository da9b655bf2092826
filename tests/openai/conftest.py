"""Both ways to send a call: over the bare session, and with the client of ``openai``."""

import pytest
from paceline_adapters.openai import server


@pytest.fixture(params=["session", "client"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test once for each way."""
    if request.param == "client":  # as if a proxy led to the server
        monkeypatch.setattr(server, "_proxy", lambda _: "http://127.0.0.1:9 (HTTP_PROXY)")
