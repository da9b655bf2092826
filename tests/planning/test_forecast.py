"""Laws of a forecast: what must hold for any provider and any strategy."""

import asyncio
import re
import types
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paceline import App, Forecast, PluginError, Roadmap, SettingsError, parse_roadmap
from paceline.planning.forecast import Range
from paceline.planning.workload_file import synthetic_roadmap

DOCS = Path(__file__).parents[2] / "docs"


def plan(
    tmp_path: Path,
    model: str = "",
    *,
    roadmaps: int = 2,
    concepts: int = 12,
    plugins: tuple[object, ...] = (),
    workers: int = 1,
    seed: int = 0,
    **overrides: object,
) -> Forecast:
    """A forecast with three draws; ``model`` is the text of a provider model."""
    file = tmp_path / "provider.toml"
    file.write_text(model)
    keys = {key.replace("__", "."): value for key, value in overrides.items()}
    app = App.load("/dev/null", keys, environ={}, plugins=plugins)
    work = [synthetic_roadmap(number, concepts) for number in range(1, roadmaps + 1)]
    return asyncio.run(app.plan(work, provider_model=file, workers=workers, seed=seed, draws=3))


def of_modules(modules: int, concepts: int) -> Roadmap:
    """A roadmap with this number of modules, and of concepts in each."""
    return parse_roadmap(
        {
            "roadmap_id": "modules",
            "title": "Modules",
            "stages": [
                {
                    "stage_id": "s",
                    "name": "Stage",
                    "order": 1,
                    "modules": [
                        {
                            "module_id": f"m{m}",
                            "name": f"Module {m}",
                            "concepts": [
                                {"concept_id": f"m{m}c{c}", "name": f"Concept {c}"}
                                for c in range(concepts)
                            ],
                        }
                        for m in range(modules)
                    ],
                }
            ],
        },
        source="a test",
    )


def test_the_same_seed_gives_the_same_forecast(tmp_path: Path) -> None:
    limited = "rpm = 60\ntransient = 0.05"
    first = plan(tmp_path, limited, strategy="adaptive", seed=3)
    assert plan(tmp_path, limited, strategy="adaptive", seed=3) == first
    assert plan(tmp_path, limited, strategy="adaptive", seed=4).makespan != first.makespan


def test_twice_the_latency_takes_twice_as_long(tmp_path: Path) -> None:
    once = plan(tmp_path, "latency = {tutorial = [10, 10], resources = [5, 5], quiz = [5, 5]}")
    twice = plan(tmp_path, "latency = {tutorial = [20, 20], resources = [10, 10], quiz = [10, 10]}")
    assert twice.makespan.median == pytest.approx(2 * once.makespan.median, rel=0.05)


def test_a_roadmap_takes_its_rounds_of_concepts(tmp_path: Path) -> None:
    found = plan(
        tmp_path,
        "latency = {tutorial = [10, 10], resources = [5, 5], quiz = [5, 5]}",
        strategy="per-roadmap",
        strategies={"per-roadmap": {"limit": 4}},
    )
    assert found.makespan.median == pytest.approx(3 * 20.0, rel=0.05)  # 12 concepts, 4 at once
    assert found.calls_peak == Range(8, 8, 8)  # of two roadmaps
    assert found.calls == Range(72, 72, 72)


@given(calls=st.integers(1, 30))
@settings(max_examples=15, deadline=None)
def test_no_more_calls_are_in_flight_than_the_strategy_admits(
    tmp_path_factory: pytest.TempPathFactory, calls: int
) -> None:
    found = plan(
        tmp_path_factory.mktemp("plan"),
        strategy="global",
        strategies={"global": {"concurrency": calls}},
    )
    assert found.calls_peak.p90 <= calls
    assert found.calls.median == 72


def test_a_limit_of_all_workers_is_shared_by_them(tmp_path: Path) -> None:
    found = plan(
        tmp_path,
        strategy="global",
        strategies={"global": {"concurrency": 6}},
        executor="celery",
        redis__url="redis://127.0.0.1:1/0",
        workers=3,
    )
    assert found.calls_peak == Range(6, 6, 6)


def test_a_quota_bounds_the_calls_of_each_minute(tmp_path: Path) -> None:
    found = plan(tmp_path, "rpm = 20", strategy="unbounded")
    assert found.refusals.median > 0
    assert found.makespan.median > 60 * (72 / 20 - 1)


def test_refusals_of_a_forecast_are_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert plan(tmp_path, "rpm = 20", strategy="unbounded").refusals.median > 0
    assert caplog.records == []


def test_a_limit_that_fits_the_quota_is_not_refused(tmp_path: Path) -> None:
    found = plan(
        tmp_path,
        "rpm = 30",
        strategy="global",
        strategies={"global": {"requests_per_minute": 30}},
    )
    assert found.refusals == Range(0, 0, 0)


def test_neighbours_on_the_key_make_a_run_longer(tmp_path: Path) -> None:
    alone = plan(tmp_path, "rpm = 40", strategy="adaptive")
    neighbours = "rpm = 40\nforeign = [{since = 0, until = 3600, rpm = 20}]"
    assert plan(tmp_path, neighbours, strategy="adaptive").makespan.median > (
        1.2 * alone.makespan.median
    )


def test_beyond_its_knee_a_provider_only_gets_slower(tmp_path: Path) -> None:
    fast = plan(tmp_path, strategy="unbounded")
    assert plan(tmp_path, "knee = 6", strategy="unbounded").makespan.median > (
        2 * fast.makespan.median
    )


def test_attempts_that_fail_or_are_repaired_cost_time_and_tokens(tmp_path: Path) -> None:
    prices = {"prompt_price": 1.0, "completion_price": 2.0}
    good = plan(tmp_path, provider=prices)
    poor = plan(tmp_path, "unusable = 0.3", provider=prices)
    assert good.cost is not None
    assert poor.cost is not None
    assert poor.calls.median > good.calls.median
    assert poor.cost.median > good.cost.median
    assert poor.failed.median > 0  # a second unusable answer fails the concept


def test_the_cost_is_that_of_all_tokens(tmp_path: Path) -> None:
    found = plan(
        tmp_path,
        "answers = {tutorial = [100, 100], resources = [100, 100], quiz = [100, 100]}",
        provider={"prompt_price": 0.0, "completion_price": 1e4},  # an answer costs 1
    )
    assert found.cost is not None
    assert found.cost.median == pytest.approx(72.0, rel=0.1)


def test_without_a_price_there_is_no_cost(tmp_path: Path) -> None:
    assert plan(tmp_path, provider={"model": "of-my-own"}).cost is None


def test_a_well_known_model_has_the_price_of_the_table(tmp_path: Path) -> None:
    found = plan(tmp_path, provider={"model": "gpt-4o-mini"})
    assert found.cost is not None
    assert found.cost.median > 0
    assert any("prices of gpt-4o-mini: genai-prices" in source for source in found.sources)


def test_connections_stay_within_the_pools(tmp_path: Path) -> None:
    found = plan(
        tmp_path,
        store={"url": "postgresql://nobody@127.0.0.1:1/none", "pool_size": 1, "max_overflow": 1},
        roadmaps=8,
    )
    assert found.connections_peak is not None
    assert found.transactions is not None
    assert found.connections_peak.p90 <= 2
    assert found.transactions.median > 0


def test_steps_that_need_nothing_run_at_once(tmp_path: Path) -> None:
    found = plan(
        tmp_path,
        "latency = {tutorial = [10, 10], resources = [5, 5], quiz = [5, 5]}",
        strategy="per-roadmap",
        strategies={"per-roadmap": {"limit": 12}},
        run__parallel_steps=True,
    )
    assert found.makespan.median == pytest.approx(10.0 + 5.0, rel=0.1)


def test_strategies_from_the_docs_work_unchanged(tmp_path: Path) -> None:
    text = (DOCS / "how-to" / "write-a-plugin.md").read_text()
    (source,) = re.findall(r"```python\n(# two_per_module\.py\n.*?)```", text, re.DOTALL)
    module = types.ModuleType("two_per_module")
    exec(compile(source, "two_per_module.py", "exec"), module.__dict__)
    app = App.load("/dev/null", {"strategy": "two-per-module"}, environ={}, plugins=(module,))
    found = asyncio.run(app.plan([of_modules(4, 3)], draws=2))
    # Later modules start before the third concept of the first one is admitted.
    assert found.calls_peak == Range(8, 8, 8)


def test_a_strategy_that_never_admits_is_an_error_that_names_it(tmp_path: Path) -> None:
    source = """
import asyncio
from paceline import NoOptions, Strategy, hookimpl

class Never(Strategy):
    async def admit(self, work):
        await asyncio.get_running_loop().create_future()

@hookimpl
def paceline_register_strategies(register):
    register("never", lambda options, context: Never(), options=NoOptions, summary="Never.")
"""
    module = types.ModuleType("never")
    exec(source, module.__dict__)
    with pytest.raises(PluginError, match="strategy never cannot be forecast: deadlock"):
        plan(tmp_path, plugins=(module,), strategy="never")


def test_a_wrong_provider_model_names_its_key(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="rmp"):
        plan(tmp_path, "rmp = 20")


def test_a_forecast_is_a_json_object(tmp_path: Path) -> None:
    found = plan(tmp_path).to_json()
    assert found["makespan"].keys() == {"median", "p10", "p90"}  # type: ignore[attr-defined]


def test_a_plan_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["provider.toml"]


def test_an_own_roadmap_is_not_changed(tmp_path: Path) -> None:
    roadmap = synthetic_roadmap(1, 3)
    before: Roadmap = roadmap.model_copy(deep=True)
    asyncio.run(App().plan([roadmap], draws=2))
    assert roadmap == before
    assert list(tmp_path.iterdir()) == []
