"""PostgreSQL, Valkey, a simulated LLM, and a home with the executor ``celery``."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from paceline_adapters.sql.schema import upgrade
from pydantic import SecretStr

from tests.support.celery_home import Rig, a_rig
from tests.support.cli_processes import Home, Simulator, simulator


@pytest.fixture
def llm() -> Iterator[Simulator]:
    """A simulated LLM that takes about a second per concept."""
    with simulator("--speed", "50") as server:
        yield server


@pytest.fixture
def rig(tmp_path: Path, postgres_url: str, redis_url: str, llm: Simulator) -> Iterator[Rig]:
    """A folder with settings for the servers. The database is upgraded."""
    upgrade(SecretStr(postgres_url))
    home = Home(
        tmp_path,
        {
            "PACELINE_STORE__URL": postgres_url,
            "PACELINE_REDIS__URL": redis_url,
            "PACELINE_PROVIDER__BASE_URL": llm.base_url,
            "PACELINE_PROVIDER__API_KEY": "sk-test",
            "PACELINE_EXECUTOR": "celery",
            "PACELINE_EXECUTORS__CELERY__CONCURRENCY": "2",
        },
    )
    with a_rig(home) as it:
        yield it
