"""A home with PostgreSQL, Valkey and a fast simulated LLM."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli_processes import Home, Simulator, simulator


@pytest.fixture
def llm() -> Iterator[Simulator]:
    """A simulated LLM that answers in a second or so."""
    with simulator("--speed", "20") as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, postgres_url: str, redis_url: str, llm: Simulator) -> Home:
    """A folder whose settings reach the servers; the database is upgraded."""
    it = Home(
        tmp_path,
        {
            "PACELINE_STORE__URL": postgres_url,
            "PACELINE_REDIS__URL": redis_url,
            "PACELINE_PROVIDER__BASE_URL": llm.base_url,
            "PACELINE_PROVIDER__API_KEY": "sk-test",
        },
    )
    it.run("db", "upgrade")
    return it
