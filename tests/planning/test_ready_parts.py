"""Forecasts of apps that were given ready parts, and what forecasts leave alone."""

import asyncio
import random
import types
from typing import ClassVar

import pytest
from paceline import (
    App,
    Forecast,
    NoOptions,
    Permit,
    PluginError,
    Register,
    Strategy,
    Work,
    hookimpl,
)
from paceline.contracts.storage.budgets import BudgetLimits
from paceline.planning.alternatives import Alternative
from paceline.planning.forecast import Range
from paceline.planning.plan import Planner, inputs_of
from paceline.planning.workload_file import synthetic_roadmap
from paceline.settings.model import Settings
from paceline.testing.scripted import ScriptedProvider
from paceline.testing.virtual_time import real_time
from paceline_adapters.memory.store import MemoryStore
from paceline_strategies.budget import Budget
from paceline_strategies.per_roadmap import PerRoadmap

UNBOUNDED = Settings(strategy=["unbounded"])


def plan(app: App, *, seed: int = 0) -> Forecast:
    """A forecast of one roadmap with twelve concepts."""
    return asyncio.run(app.plan([synthetic_roadmap(1, 12)], draws=2, seed=seed))


class Watching(Strategy):
    """Admits all, and keeps what it saw."""

    seen: ClassVar[list[tuple[str, object]]] = []

    async def admit(self, work: Work) -> Permit:
        """Admit at once."""
        self.seen.append((work.key, random.getstate()))
        random.random()
        return Permit(lambda _: None)

    def __deepcopy__(self, memo: object) -> "Watching":
        return self


class WatchingPlugin:
    """Offers it by name."""

    @hookimpl
    def paceline_register_strategies(self, register: Register[Strategy]) -> None:
        """Register it."""
        register("watching", lambda _, __: Watching(), options=NoOptions, summary="Watching.")


def test_ready_strategies_are_played_and_stay_as_they_are() -> None:
    ready = PerRoadmap(3)
    found = plan(App(UNBOUNDED, strategies=[("three", ready)]))
    assert found.calls_peak == Range(3, 3, 3)
    assert found.settings.startswith("three on in-process")
    assert "0 held in 0 roadmaps" in ready.explain()


def test_a_strategy_that_is_in_use_is_played_from_a_copy() -> None:
    async def scenario() -> None:
        ready = PerRoadmap(3)
        held = await ready.admit(
            Work(level="concept", run_id="mine", roadmap_id="mine", concept_id="c", key="k")
        )
        app = App(UNBOUNDED, strategies=[("three", ready)])
        found = await app.plan([synthetic_roadmap(1, 12)], draws=2)
        assert found.calls_peak == Range(3, 3, 3)
        assert "1 held in 1 roadmaps" in ready.explain()
        held.release(None)  # type: ignore[arg-type]

    asyncio.run(scenario())


def test_a_ready_strategy_that_cannot_be_copied_is_an_error_that_says_what_to_do() -> None:
    class Bound(PerRoadmap):
        def __init__(self) -> None:
            super().__init__(3)
            self.open = (_ for _ in ())

    app = App(UNBOUNDED, strategies=[("bound", Bound())])
    with pytest.raises(PluginError, match=r"strategy bound cannot be forecast.*as a plugin"):
        plan(app)


def test_an_alternative_with_a_strategy_replaces_the_ready_ones() -> None:
    async def scenario() -> list[float]:
        app = App(UNBOUNDED, strategies=[("three", PerRoadmap(3))])
        planner = Planner(
            factory=app.factory,
            roadmaps=[synthetic_roadmap(1, 12)],
            inputs=await inputs_of(app.factory),
            draws=2,
        )
        choices = await planner.compare(
            [
                Alternative.parse("strategy=per-roadmap:limit=2"),
                Alternative.parse("run.failure_threshold=1"),
            ]
        )
        return [one.forecast.calls_peak.median for one in choices]

    assert asyncio.run(scenario()) == [2, 3]


def test_strategies_receive_the_key_of_a_ready_provider() -> None:
    Watching.seen.clear()
    provider = ScriptedProvider()
    plan(App(UNBOUNDED, provider=provider, strategies=[("watching", Watching())]))
    assert {key for key, _ in Watching.seen} == {provider.key}


def test_a_ready_store_says_whether_there_are_connections() -> None:
    server = Settings.model_validate({"store": {"url": "postgresql://nobody@127.0.0.1:1/none"}})
    assert plan(App(server)).connections_peak is not None
    assert plan(App(server, store=MemoryStore())).connections_peak is None


@real_time
async def test_past_runs_are_those_of_a_ready_store() -> None:
    app = App(UNBOUNDED, store=MemoryStore(), provider=ScriptedProvider())
    roadmap = synthetic_roadmap(1, 2)
    async with app.client(work=True) as client:
        run, _ = await client.submit(roadmap)
        await client.wait(run.run_id)
    found = await app.plan([roadmap], from_runs=True, draws=2)
    assert any("6 artifacts of 1 past run" in source for source in found.sources)


def test_a_forecast_does_not_touch_the_random_numbers_of_the_process() -> None:
    Watching.seen.clear()
    random.seed(1)
    expected = random.Random(1)
    plan(App(Settings(strategy=["watching"]), plugins=[WatchingPlugin()]), seed=5)
    assert Watching.seen
    for _, state in Watching.seen:
        assert state == expected.getstate()
        expected.random()
    assert random.random() == expected.random()


@pytest.mark.parametrize("ready", [True, False])
def test_a_budget_is_left_out_of_a_forecast_which_says_so(ready: bool) -> None:
    settings = Settings(strategy=["budget", "unbounded"])
    budget = Budget(BudgetLimits(common={"run": 1}), MemoryStore(), worker_id="w")
    found = plan(App(settings, strategies=[("budget", budget)] if ready else None))
    assert found.calls.median == 36
    assert "the limits of strategy budget: no run is paused" in found.unknown


def test_plugins_given_to_an_app_are_played() -> None:
    source = """
from paceline import NoOptions, hookimpl
from paceline_strategies.per_roadmap import PerRoadmap

@hookimpl
def paceline_register_strategies(register):
    register("four", lambda options, context: PerRoadmap(4), options=NoOptions, summary="Four.")
"""
    module = types.ModuleType("four")
    exec(source, module.__dict__)
    found = plan(App(Settings(strategy=["four"]), plugins=[module]))
    assert found.calls_peak == Range(4, 4, 4)
