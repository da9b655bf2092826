"""The hand-written contestants do the whole work: every concept is asked for, and saved."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from paceline.roadmap import load_roadmap
from paceline_adapters.sql.tables import artifacts
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.race import ROADMAPS, ROOT, run_lap, simulator

#: Two of the eight: 55 concepts.
SOME = ROADMAPS[:2]
CONCEPTS = sum(load_roadmap(path).concept_count() for path in SOME)
CALLS = 3 * CONCEPTS
BY_HAND = ["gather", "gather_semaphore", "origin_celery"]


@pytest.fixture
def llm() -> Iterator[str]:
    """A simulated LLM whose concepts take less than a second."""
    with simulator("--speed", "100") as base_url:
        yield base_url


def saved(url: str) -> dict[str, int]:
    """Concepts with artifacts, and artifacts, of the measured roadmaps."""

    async def count() -> dict[str, int]:
        engine = create_async_engine(url)
        query = select(
            func.count(func.distinct(artifacts.c.roadmap_id + "/" + artifacts.c.concept_id)),
            func.count(),
        ).where(artifacts.c.roadmap_id != "warm-up")
        async with engine.connect() as connection:
            concepts, everything = (await connection.execute(query)).one()
        await engine.dispose()
        return {"concepts": concepts, "artifacts": everything}

    return asyncio.run(count())


@pytest.mark.parametrize("name", BY_HAND)
def test_it_saves_every_artifact_of_every_concept_in_postgresql(
    name: str, llm: str, postgres_url: str, redis_url: str
) -> None:
    """Counted by the provider, and by the database."""
    lap = run_lap(
        f"benchmarks.contestants.{name}", llm, postgres_url, roadmaps=SOME, redis_url=redis_url
    )
    assert lap.calls == CALLS
    assert saved(postgres_url) == {"concepts": CONCEPTS, "artifacts": CALLS}


@pytest.mark.parametrize("name", ["gather", "gather_semaphore"])
def test_it_saves_every_artifact_of_every_concept_in_sqlite(
    name: str, llm: str, tmp_path: Path
) -> None:
    """Though SQLite takes one writer at a time."""
    url = f"sqlite+aiosqlite:///{tmp_path}/by-hand.db"
    lap = run_lap(f"benchmarks.contestants.{name}", llm, url, roadmaps=SOME)
    assert lap.calls == CALLS
    assert saved(url) == {"concepts": CONCEPTS, "artifacts": CALLS}


def test_the_yardstick_asks_as_often_and_saves_nothing(llm: str, tmp_path: Path) -> None:
    """Which is why paceline may be measured against it."""
    file = tmp_path / "nothing.db"
    lap = run_lap(
        "benchmarks.contestants.gather_unsaved", llm, f"sqlite+aiosqlite:///{file}", roadmaps=SOME
    )
    assert lap.calls == CALLS
    assert not file.exists()


def test_paceline_itself_is_driven_in_the_same_way(llm: str, tmp_path: Path) -> None:
    """With any strategy, and everything saved."""
    url = f"sqlite+aiosqlite:///{tmp_path}/ours.db"
    lap = run_lap("benchmarks.host", llm, url, roadmaps=SOME, settings={"strategy": "unbounded"})
    assert lap.calls == CALLS
    assert lap.cpu > 0
    assert saved(url) == {"concepts": CONCEPTS, "artifacts": CALLS}


def test_one_that_fails_says_why(tmp_path: Path) -> None:
    """Instead of a figure."""
    with (
        simulator("--model", "another") as base_url,
        pytest.raises(RuntimeError, match="gpt-4o-mini"),
    ):
        run_lap(
            "benchmarks.contestants.gather_unsaved",
            base_url,
            f"sqlite+aiosqlite:///{tmp_path}/nothing.db",
            roadmaps=SOME,
        )


def test_it_exits_when_its_input_ends_before_go(tmp_path: Path, llm: str) -> None:
    """A driver that is killed leaves nobody behind."""
    document = tmp_path / "assignment.json"
    document.write_text(
        f'{{"roadmaps": ["{SOME[0]}"], "warm_up": "{SOME[0]}", "base_url": "{llm}",'
        f' "api_key": "k", "model": "gpt-4o-mini", "store_url": "unused", "redis_url": null,'
        ' "settings": {}}'
    )
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.contestants.gather_unsaved", str(document)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert done.stdout == "ready\n"
