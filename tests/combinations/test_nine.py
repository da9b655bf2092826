"""The nine combinations, and what each strategy lets the provider see."""

import pytest

from tests.support.cli_processes import Home, Simulator
from tests.support.demo_roadmaps import ROADMAPS

STRATEGIES = ["unbounded", "per-roadmap", "global"]
#: Celery's prefork pool has child processes, so it is tested with all strategies.
EXECUTORS = [
    pytest.param(("in-process",), id="in-process"),
    pytest.param(("celery", "--set", "executors.celery.pool=prefork"), id="celery-prefork"),
    pytest.param(
        ("celery", "--set", "executors.celery.pool=threads"),
        id="celery-threads",
        marks=pytest.mark.soak,
    ),
    pytest.param(("arq",), id="arq"),
]
FILES = [str(path) for path in ROADMAPS]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("executor", EXECUTORS)
def test_all_227_concepts_are_saved(
    home: Home, llm: Simulator, strategy: str, executor: tuple[str, ...]
) -> None:
    workers = () if executor[0] == "in-process" else ("--workers", "1")
    command = ("--strategy", strategy, "--executor", *executor, *workers)
    report = home.json("run", *FILES, *command)
    assert [run["status"] for run in report["runs"]] == ["completed"] * 8
    assert sum(run["completed"] for run in report["runs"]) == 227
    figures = llm.figures()
    assert (figures["paid"], figures["prompts_paid_twice"]) == (227 * 3, 0)
    peak = {"unbounded": 227, "per-roadmap": 8 * 5, "global": 64}[strategy]
    assert figures["in_flight_peak"] <= peak
    if strategy != "unbounded":
        assert figures["in_flight_peak"] == peak


def test_the_same_command_again_has_nothing_to_do(home: Home, llm: Simulator) -> None:
    home.environment["PACELINE_STRATEGY"] = "unbounded"
    home.run("run", FILES[1])
    again = home.json("run", FILES[1])
    assert again["runs"][0]["submitted"] == "complete"
    assert llm.figures()["paid"] == 25 * 3
    assert home.json("run", FILES[1], "--new")["runs"][0]["submitted"] == "created"
    assert llm.figures()["paid"] == 2 * 25 * 3
