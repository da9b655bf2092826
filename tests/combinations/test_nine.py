"""The nine combinations, and what each strategy lets the provider see."""

from importlib.metadata import entry_points

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
if "streaq" in entry_points(group="paceline").names:  # in the environment of `make test-streaq`
    EXECUTORS.append(pytest.param(("streaq",), id="streaq"))
FILES = [str(path) for path in ROADMAPS]
#: Executor and strategy have no code in common, so each executor with one strategy finds most
#: faults; the long suite runs the others.
PAIRS = [
    pytest.param(executor.values[0], strategy, id=f"{executor.id}-{strategy}", marks=marks)
    for executor in EXECUTORS
    for strategy in STRATEGIES
    for marks in [
        [*executor.marks]
        if (executor.id == "in-process") == (strategy == "per-roadmap") and strategy != "unbounded"
        else [*executor.marks, pytest.mark.soak]
    ]
]


@pytest.mark.parametrize(("executor", "strategy"), PAIRS)
@pytest.mark.parametrize(
    ("files", "concepts"), [(FILES[1:2], 25), pytest.param(FILES, 227, marks=pytest.mark.soak)]
)
def test_every_combination_saves_every_concept(
    home: Home,
    llm: Simulator,
    files: list[str],
    concepts: int,
    strategy: str,
    executor: tuple[str, ...],
) -> None:
    home.environment["PACELINE_STRATEGIES__GLOBAL__CONCURRENCY"] = "16"
    workers = () if executor[0] == "in-process" else ("--workers", "1")
    command = ("--strategy", strategy, "--executor", *executor, *workers)
    report = home.json("run", *files, *command)
    assert [run["status"] for run in report["runs"]] == ["completed"] * len(files)
    assert sum(run["completed"] for run in report["runs"]) == concepts
    figures = llm.figures()
    assert (figures["paid"], figures["prompts_paid_twice"]) == (concepts * 3, 0)
    peak = {"unbounded": concepts, "per-roadmap": len(files) * 5, "global": 16}[strategy]
    assert figures["in_flight_peak"] <= peak
    if strategy != "unbounded":
        assert figures["in_flight_peak"] == peak


@pytest.mark.soak
def test_the_same_command_again_has_nothing_to_do(home: Home, llm: Simulator) -> None:
    home.environment["PACELINE_STRATEGY"] = "unbounded"
    home.run("run", FILES[1])
    again = home.json("run", FILES[1])
    assert again["runs"][0]["submitted"] == "complete"
    assert llm.figures()["paid"] == 25 * 3
    assert home.json("run", FILES[1], "--new")["runs"][0]["submitted"] == "created"
    assert llm.figures()["paid"] == 2 * 25 * 3
