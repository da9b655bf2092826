"""The original scenario: eight tasks, and the calls in flight at the provider."""

from collections.abc import Iterator

import pytest

from tests.support.cli_processes import Home, Simulator, simulator
from tests.support.demo_roadmaps import ROADMAPS
from tests.support.eventually import eventually

FILES = [str(path) for path in ROADMAPS]


@pytest.fixture
def llm() -> Iterator[Simulator]:
    """Calls that outlast a `paceline status`, on a slow machine too."""
    with simulator("--latency", "tutorial=40-42", "--speed", "1", *FAST) as server:
        yield server


FAST = ("--latency", "resources=0.1-0.2", "--latency", "quiz=0.1-0.2")


@pytest.mark.soak
def test_eight_roadmaps_are_227_calls_in_flight_and_status_explains_it(
    home: Home, llm: Simulator
) -> None:
    home.environment |= {"PACELINE_STRATEGY": "unbounded", "PACELINE_EXECUTOR": "celery"}
    with home.workers():
        eventually(lambda: len(home.worker_pids()) == 8, within=30)
        home.run("submit", *FILES)
        eventually(lambda: llm.figures()["in_flight"] == 227, within=40)
        # Workers report their runs with each beat.
        eventually(lambda: home.json("status")["totals"]["roadmaps_active"] == 8, within=40)
        status = home.json("status")
        assert home.run("watch").returncode == 0
    totals = status["totals"]
    assert totals["roadmaps_active"] == 8
    assert totals["roadmaps_reserved"] <= 8
    assert llm.figures()["in_flight_peak"] == 227
    assert llm.figures()["prompts_paid_twice"] == 0
    database = status["database"]
    pools = sum(worker["pool_max"] for worker in status["workers"])
    assert pools + database["reserve"] <= database["max_connections"]


@pytest.mark.soak
def test_global_16_is_never_exceeded_by_two_worker_processes(home: Home) -> None:
    with simulator("--speed", "20") as llm:
        home.environment |= {
            "PACELINE_PROVIDER__BASE_URL": llm.base_url,
            "PACELINE_STRATEGY": "global",
            "PACELINE_STRATEGIES__GLOBAL__CONCURRENCY": "16",
            "PACELINE_EXECUTOR": "celery",
            "PACELINE_EXECUTORS__CELERY__POOL": "threads",
            "PACELINE_EXECUTORS__CELERY__CONCURRENCY": "2",
        }
        home.run("submit", *FILES[:4])
        with home.workers(count=2):
            assert home.run("watch").returncode == 0
        figures = llm.figures()
    assert figures["in_flight_peak"] == 16
    assert figures["paid"] == (30 + 25 + 28 + 32) * 3
