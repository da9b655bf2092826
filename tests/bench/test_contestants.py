"""The hand-written contestants make all calls and save all artifacts."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from paceline import PartUnavailable
from paceline.planning.stacks import Part
from paceline.testing.virtual_time import real_time
from paceline_adapters.bench.environments import SimulatedProvider, simulated_provider
from paceline_adapters.bench.measure import PreparedCell
from paceline_adapters.bench.prepared_cells import find_contestants, prepare_contestants
from paceline_adapters.bench.probes.calls import read_calls
from paceline_adapters.bench.protocol import (
    EXIT_TIMEOUT,
    START_TIMEOUT,
    MeasuredProgram,
    RoundSpec,
    start_program,
)
from paceline_adapters.bench.workload import scaled, synthetic, warm_up
from paceline_adapters.sql.tables import artifacts
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.experiment import CONTESTANTS

#: Two roadmaps with concepts of less than a second.
WORK = scaled(synthetic(2, 12), speed=100.0)
CALLS = 3 * WORK.concepts
BY_HAND = {"gather", "gather-semaphore", "origin-celery"}


def prepare(name: str) -> PreparedCell:
    found = [
        one
        for one in find_contestants(CONTESTANTS, Part("postgresql"))
        if one[0].contestant == name
    ]
    [prepared] = prepare_contestants(found, WORK, workers=1)
    return prepared


@asynccontextmanager
async def waiting_for_go(
    name: str,
    folder: Path,
    store_url: str,
    *,
    redis_url: str | None = None,
    model: str = "simulated",
) -> AsyncGenerator[tuple[MeasuredProgram, SimulatedProvider]]:
    """A warmed-up contestant that waits for ``go``, in another working directory."""
    small = folder / "small.json"
    small.write_text(warm_up().model_dump_json())
    prepared = prepare(name)
    async with simulated_provider(WORK.simulator_options(), folder) as llm:
        spec = RoundSpec(
            roadmaps=WORK.write(folder),
            warm_up=small,
            base_url=llm.base_url,
            api_key="simulated",
            model=model,
            store_url=store_url,
            redis_url=redis_url,
            settings=dict(prepared.settings),
        )
        async with start_program(
            prepared.command, spec, folder=folder, import_from=prepared.import_from
        ) as program:
            await program.wait_for("ready", timeout=START_TIMEOUT)
            yield program, llm


@real_time
async def calls_of(name: str, folder: Path, store_url: str, *, redis_url: str | None = None) -> int:
    """Run a contestant; returns the number of its calls."""
    async with waiting_for_go(name, folder, store_url, redis_url=redis_url) as (program, llm):
        started = time.time()
        program.go()
        await program.wait_for("done", timeout=EXIT_TIMEOUT)
        await program.end()
        return len(read_calls(llm.log, since=started))


@real_time
async def saved(url: str) -> tuple[int, int]:
    """Number of concepts with artifacts, and of artifacts, of the measured roadmaps."""
    engine = create_async_engine(url)
    query = select(
        func.count(func.distinct(artifacts.c.roadmap_id + "/" + artifacts.c.concept_id)),
        func.count(),
    ).where(artifacts.c.roadmap_id != warm_up().roadmap_id)
    async with engine.connect() as connection:
        concepts, count = (await connection.execute(query)).one()
    await engine.dispose()
    return concepts, count


def test_only_modules_with_a_main_block_are_contestants() -> None:
    found = {cell.contestant: cell for cell, _ in find_contestants(CONTESTANTS, Part("sqlite"))}
    assert set(found) == {*BY_HAND, "gather-unsaved"}
    assert [str(part) for part in found["gather-semaphore"].strategy] == ["per-roadmap:limit=5"]
    assert str(found["origin-celery"].executor) == "celery:concurrency=8"


@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=[pytest.mark.soak] * (one != "gather")) for one in sorted(BY_HAND)],
)
def test_a_contestant_saves_every_artifact_in_postgresql(
    name: str, tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    """Counted by the provider, and by the database."""
    assert calls_of(name, tmp_path, postgres_url, redis_url=redis_url) == CALLS
    assert saved(postgres_url) == (WORK.concepts, CALLS)


@pytest.mark.soak
@pytest.mark.parametrize("name", ["gather", "gather-semaphore"])
def test_a_contestant_saves_every_artifact_in_sqlite(name: str, tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/by-hand.db"
    assert calls_of(name, tmp_path, url) == CALLS
    assert saved(url) == (WORK.concepts, CALLS)


def test_the_baseline_makes_all_calls_and_saves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "nothing.db"
    assert calls_of("gather-unsaved", tmp_path, f"sqlite+aiosqlite:///{file}") == CALLS
    assert not file.exists()


@real_time
async def test_a_failing_contestant_reports_its_error(tmp_path: Path) -> None:
    with pytest.raises(PartUnavailable, match="another"):
        async with waiting_for_go("gather-unsaved", tmp_path, "unused", model="another"):
            pass


@real_time
async def test_a_contestant_exits_if_its_input_ends_before_go(tmp_path: Path) -> None:
    async with waiting_for_go("gather-unsaved", tmp_path, "unused") as (program, llm):
        started = time.time()
        await program.end()
        calls = len(read_calls(llm.log, since=started))
    assert calls == 0
