"""What saving costs when 227 writers come at once; ``python -m benchmarks.saves`` judges it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from paceline.testing.servers import Postgres
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.sync_context import entered
from benchmarks.concurrent_saves import WAYS, open_concurrent_saves


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A ``store.url`` with nothing there; PostgreSQL waits for the disk."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/saves.db"
        return
    with Postgres(fsync=True) as server:
        yield server.create_database("saves")


@pytest.mark.benchmark(group="saves")
@pytest.mark.parametrize("way", WAYS)
def test_227_savers_at_once(benchmark: BenchmarkFixture, url: str, way: str) -> None:
    """Every concept of the example roadmaps saves one artifact at the same moment."""
    with asyncio.Runner() as runner, entered(runner, open_concurrent_saves(url)) as savers:
        benchmark(lambda: runner.run(savers.save(way)))
        benchmark.extra_info["artifacts"] = len(savers.writers)
