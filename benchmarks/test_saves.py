"""The cost of 227 saves at once; ``python -m benchmarks.saves`` checks targets for it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from paceline.testing.servers import Postgres
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.concurrent_saves import COMMIT_MODES, open_concurrent_saves
from benchmarks.sync_context import run_context


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The ``store.url`` of an empty database; PostgreSQL runs with ``fsync``."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/saves.db"
        return
    with Postgres(fsync=True) as server:
        yield server.create_database("saves")


@pytest.mark.benchmark(group="saves")
@pytest.mark.parametrize("mode", COMMIT_MODES)
def test_227_saves_at_once(benchmark: BenchmarkFixture, url: str, mode: str) -> None:
    """Every concept of the example roadmaps saves one artifact at the same moment."""
    with asyncio.Runner() as runner, run_context(runner, open_concurrent_saves(url)) as saves:
        benchmark(lambda: runner.run(saves.save(mode)))
        benchmark.extra_info["artifacts"] = len(saves.writers)
