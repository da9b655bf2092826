"""The hand-written contestants do the whole work: every concept is asked for, and saved."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from paceline.errors import PartUnavailable
from paceline.testing.virtual_time import real_time
from paceline_adapters.bench.contests import contestants, prepare_contestants
from paceline_adapters.bench.measure import Contest
from paceline_adapters.bench.places import Provider, provider
from paceline_adapters.bench.probes.calls import read_calls
from paceline_adapters.bench.protocol import END, START, Contender, Order, started
from paceline_adapters.bench.workload import made_up, scaled, warm_up
from paceline_adapters.sql.tables import artifacts
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.experiment import CONTESTANTS

#: Two roadmaps whose concepts take less than a second.
WORK = scaled(made_up(2, 12), speed=100.0)
CALLS = 3 * WORK.concepts
BY_HAND = {"gather", "gather-semaphore", "origin-celery"}


def contest(name: str) -> Contest:
    found = [one for one in contestants(CONTESTANTS, "postgresql") if one[0].contestant == name]
    [made] = prepare_contestants(found, WORK, workers=1)
    return made


@asynccontextmanager
async def waiting_for_go(
    name: str,
    folder: Path,
    store_url: str,
    *,
    redis_url: str | None = None,
    model: str = "simulated",
) -> AsyncGenerator[tuple[Contender, Provider]]:
    """A contestant that was started by the engine, and is warm, in a folder that is not ours."""
    small = folder / "small.json"
    small.write_text(warm_up().model_dump_json())
    made = contest(name)
    async with provider(WORK.simulator_options(), folder) as llm:
        order = Order(
            roadmaps=WORK.write(folder),
            warm_up=small,
            base_url=llm.base_url,
            api_key="simulated",
            model=model,
            store_url=store_url,
            redis_url=redis_url,
            settings=dict(made.settings),
        )
        async with started(
            made.command, order, folder=folder, import_from=made.import_from
        ) as contender:
            await contender.hear("ready", within=START)
            yield contender, llm


@real_time
async def calls_of(name: str, folder: Path, store_url: str, *, redis_url: str | None = None) -> int:
    """Let a contestant do the work; how often it asked for it."""
    async with waiting_for_go(name, folder, store_url, redis_url=redis_url) as (contender, llm):
        began = time.time()
        contender.go()
        await contender.hear("done", within=END)
        await contender.end()
        return len(read_calls(llm.log, since=began))


@real_time
async def saved(url: str) -> tuple[int, int]:
    """Concepts with artifacts, and artifacts, of the measured roadmaps."""
    engine = create_async_engine(url)
    query = select(
        func.count(func.distinct(artifacts.c.roadmap_id + "/" + artifacts.c.concept_id)),
        func.count(),
    ).where(artifacts.c.roadmap_id != warm_up().roadmap_id)
    async with engine.connect() as connection:
        concepts, everything = (await connection.execute(query)).one()
    await engine.dispose()
    return concepts, everything


def test_programs_are_contestants_and_what_they_share_is_none() -> None:
    """Each says which cell of ours does the same."""
    found = {cell.contestant: cell for cell, _ in contestants(CONTESTANTS, "sqlite")}
    assert set(found) == {*BY_HAND, "gather-unsaved"}
    assert [str(part) for part in found["gather-semaphore"].strategy] == ["per-roadmap:limit=5"]
    assert str(found["origin-celery"].executor) == "celery:concurrency=8"


@pytest.mark.parametrize("name", sorted(BY_HAND))
def test_it_saves_every_artifact_of_every_concept_in_postgresql(
    name: str, tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    """Counted by the provider, and by the database."""
    assert calls_of(name, tmp_path, postgres_url, redis_url=redis_url) == CALLS
    assert saved(postgres_url) == (WORK.concepts, CALLS)


@pytest.mark.parametrize("name", ["gather", "gather-semaphore"])
def test_it_saves_every_artifact_of_every_concept_in_sqlite(name: str, tmp_path: Path) -> None:
    """Though SQLite takes one writer at a time."""
    url = f"sqlite+aiosqlite:///{tmp_path}/by-hand.db"
    assert calls_of(name, tmp_path, url) == CALLS
    assert saved(url) == (WORK.concepts, CALLS)


def test_the_yardstick_asks_as_often_and_saves_nothing(tmp_path: Path) -> None:
    """Which is why paceline may be measured against it."""
    file = tmp_path / "nothing.db"
    assert calls_of("gather-unsaved", tmp_path, f"sqlite+aiosqlite:///{file}") == CALLS
    assert not file.exists()


@real_time
async def test_one_that_fails_says_why(tmp_path: Path) -> None:
    """Instead of a figure."""
    with pytest.raises(PartUnavailable, match="another"):
        async with waiting_for_go("gather-unsaved", tmp_path, "unused", model="another"):
            pass


@real_time
async def test_it_exits_when_its_input_ends_before_go(tmp_path: Path) -> None:
    """A driver that is killed leaves nobody behind, and nobody worked."""
    async with waiting_for_go("gather-unsaved", tmp_path, "unused") as (contender, llm):
        began = time.time()
        await contender.end()
        calls = len(read_calls(llm.log, since=began))
    assert calls == 0
