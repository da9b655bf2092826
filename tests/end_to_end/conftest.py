"""A home with a fast simulated LLM and nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli_processes import Home, Simulator, simulator


@pytest.fixture
def llm() -> Iterator[Simulator]:
    """A simulated LLM that answers in a second or two."""
    with simulator("--speed", "15") as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, llm: Simulator) -> Home:
    """A folder without settings; the environment says where the LLM is."""
    return Home(
        tmp_path, {"OPENAI_BASE_URL": llm.base_url, "OPENAI_API_KEY": "sk-secret-of-the-test"}
    )
