"""``paceline bench`` with a strategy and a store of an installed plugin."""

from pathlib import Path

import pytest
from paceline_adapters.bench.engine import load

from tests.support.cli_processes import Home

PLUGIN = """
import asyncio
from collections.abc import Sequence
from pathlib import Path

from paceline import (
    NoOptions, Options, Permit, PlannedRoadmap, Register, Store, Strategy, Work, hookimpl
)
from paceline_adapters.memory.store import MemoryStore


class OneAtATime(Strategy):
    levels = frozenset({"call"})

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def admit(self, work: Work) -> Permit:
        await self._lock.acquire()
        return Permit(lambda outcome: self._lock.release())


class Declared(OneAtATime):
    def lower_bound(self, roadmaps: Sequence[PlannedRoadmap], *, workers: int) -> float:
        calls = [call for plan in roadmaps for concept in plan for call in concept]
        return sum(call.seconds for call in calls) / workers


class Wrong(OneAtATime):
    def lower_bound(self, roadmaps: Sequence[PlannedRoadmap], *, workers: int) -> float:
        return float("nan")


class NotedOptions(Options):
    folder: str


def noted(options: NotedOptions, context: object) -> Store:
    Path(options.folder, "noted").write_text("made")
    return MemoryStore()


@hookimpl
def paceline_register_strategies(register: Register[Strategy]) -> None:
    for name, kind in {"one-at-a-time": OneAtATime, "declared": Declared, "wrong": Wrong}.items():
        register(name, lambda o, c, kind=kind: kind(), options=NoOptions, summary="One call.")


@hookimpl
def paceline_register_stores(register: Register[Store]) -> None:
    register("noted", noted, options=NotedOptions, summary="In memory.")
"""

#: The workload of these tests, once, in one process.
TWO_BY_TWO = (
    *("--workload", "work.toml", "--rounds", "1", "--warm-up", "0", "--report", "out"),
    *("--executor", "in-process"),
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A folder where a distribution with three strategies and a store is installed."""
    home = Home(tmp_path)
    metadata = home.folder / "theirs" / "one_at_a_time-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: one-at-a-time\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[paceline]\none-at-a-time = one_at_a_time\n")
    (metadata.parent / "one_at_a_time.py").write_text(PLUGIN)
    home.environment["PYTHONPATH"] = str(metadata.parent)
    (home.folder / "work.toml").write_text(
        'name = "two by two"\nroadmaps = 2\nconcepts = 2\nspeed = 100\n'
        '[latency]\ntutorial = "5-5"\nresources = "5-5"\nquiz = "5-5"\n'
    )
    return home


def _measured(home: Home, *strategies: str, code: int = 0) -> str:
    """Measure strategies on SQLite; returns what was printed."""
    given = [part for name in strategies for part in ("--strategy", name)]
    done = home.run("bench", *TWO_BY_TWO, "--store", "sqlite", *given, code=code)
    return done.stdout + done.stderr


def test_a_strategy_of_a_plugin_is_compared_with_the_bound_that_it_declares(home: Home) -> None:
    printed = _measured(home, "one-at-a-time", "declared", "unbounded")
    assert "one-at-a-time / in-process / sqlite" in printed
    assert "Recommended: unbounded / in-process / sqlite. Preference: time." in printed
    results = load(home.folder / "out" / "results.json")
    assert results.workload.name == "two by two"
    silent, declared, fast = (cell.rounds[0].figures for cell in results.cells)
    assert silent["calls_peak"] == declared["calls_peak"] == 1
    assert silent["makespan"] > 12 * 0.05 > fast["lower_bound"]
    # The limit of a strategy that declares nothing is unknown: the bound is that of the work.
    assert silent["lower_bound"] == fast["lower_bound"] == pytest.approx(3 * 0.05)
    assert declared["lower_bound"] == declared["list_schedule"] == pytest.approx(12 * 0.05)
    assert declared["over_bound"] < silent["over_bound"] / 2


def test_a_declared_bound_that_is_no_number_fails_the_cell_and_names_the_strategy(
    home: Home,
) -> None:
    printed = " ".join(_measured(home, "wrong", "unbounded", code=1).split())
    assert "lower_bound of strategy 'wrong' must be a number of seconds from 0, got nan" in printed
    [cell] = load(home.folder / "out" / "results.json").cells
    assert cell.strategy == "unbounded"


def test_a_store_of_a_plugin_is_a_cell_by_its_name_with_a_folder_for_each_round(
    home: Home,
) -> None:
    store = "noted:folder={folder}"
    home.run("bench", *TWO_BY_TWO, "--store", store)
    results = load(home.folder / "out" / "results.json")
    assert {cell.store for cell in results.cells} == {store}
    assert len(results.cells) == 3
    page = (home.folder / "out" / "index.html").read_text()
    assert "url = &quot;noted:&quot;" in page
    assert "[stores.noted]" in page
    assert "stores.noted.filder" in home.run("bench", "--store", "noted:filder=x", code=2).stderr
