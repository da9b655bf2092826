"""A home with a simulated LLM and a collector."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli_processes import Home, Simulator, simulator
from tests.support.otlp_collector import Collector, collecting


@pytest.fixture
def llm() -> Iterator[Simulator]:
    """A fast simulated LLM."""
    with simulator("--speed", "60") as server:
        yield server


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A running collector."""
    with collecting() as it:
        yield it


@pytest.fixture
def home(tmp_path: Path, llm: Simulator) -> Home:
    """A folder on SQLite, with an API key that must stay secret."""
    return Home(
        tmp_path,
        {
            "PACELINE_PROVIDER__BASE_URL": llm.base_url,
            "PACELINE_PROVIDER__API_KEY": "sk-very-secret-key",
        },
    )


@pytest.fixture
def roadmap(home: Home) -> str:
    """A roadmap of four concepts, as a file."""
    from tests.support.memory_worker import a_roadmap

    path = home.folder / "roadmap.json"
    path.write_text(a_roadmap(4).to_json())
    return str(path)
