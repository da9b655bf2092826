"""An operator drains one worker: its calls are saved, and another worker continues its runs."""

from collections.abc import Iterator

import pytest
from paceline.roadmaps.model import load_roadmap

from tests.support.cli_processes import Simulator, simulator
from tests.support.demo_roadmaps import ROADMAPS
from tests.support.eventually import eventually
from tests.support.worker_processes import PATIENCE, Site


@pytest.fixture(scope="module")
def llm() -> Iterator[Simulator]:
    """A simulated LLM whose calls take seconds, so that the run outlasts a command."""
    with simulator("--speed", "20") as server:
        yield server


@pytest.fixture
def site_settings() -> dict[str, str]:
    """Few concepts at once, and Celery with threads, or each child would be a worker."""
    return {
        "PACELINE_EXECUTORS__CELERY__POOL": "threads",
        "PACELINE_STRATEGIES__PER_ROADMAP__LIMIT": "3",
    }


@pytest.mark.parametrize(
    ("executor", "store"),
    [
        ("in-process", "sqlite"),
        pytest.param("celery", "sqlite", marks=pytest.mark.soak),
        pytest.param("arq", "postgresql", marks=pytest.mark.soak),
    ],
)
def test_a_drained_worker_exits_and_another_one_continues_its_run(
    site: Site, executor: str, store: str
) -> None:
    del executor, store
    roadmap = load_roadmap(ROADMAPS[0])
    with site.worker() as first:
        (run_id,) = site.submit(roadmap)
        eventually(lambda: site.llm.figures()["paid"] > 5, PATIENCE)
        (worker,) = site.home.json("status")["workers"]
        assert "draining" in site.home.run("drain", worker["worker_id"]).stdout
        assert first.wait(PATIENCE) in (0, 143)
        assert site.sql(f"SELECT status FROM runs WHERE run_id = '{run_id}'") == "queued"
        assert site.llm.figures()["in_flight"] == 0
    with site.worker():
        done = f"run_id = '{run_id}' AND status = 'completed'"
        eventually(lambda: site.count("runs", done) == 1, PATIENCE)
    assert site.llm.figures()["prompts_paid_twice"] == 0
    assert site.llm.figures()["paid"] == 3 * roadmap.concept_count()
