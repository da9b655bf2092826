"""Comparing settings, searching them, and recommending one."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paceline import App, SettingsError
from paceline.planning.alternatives import Alternative, Choice, Constraints, pareto, recommend
from paceline.planning.forecast import Forecast, Range
from paceline.settings.model import Settings


def a_choice(
    name: str,
    seconds: float,
    *,
    cost: float = 1.0,
    connections: float = 10,
    failed: float = 0,
    settings: str = "strategy=unbounded",
) -> Choice:
    """A choice with this forecast."""

    def sure(value: float) -> Range:
        return Range(value, value, value)

    forecast = Forecast(
        makespan=sure(seconds),
        roadmaps=(),
        cost=sure(cost),
        currency="USD",
        calls=sure(1),
        refusals=sure(0),
        calls_peak=sure(1),
        failed=sure(failed),
        connections_peak=sure(connections),
        transactions=sure(1),
        events_peak=sure(1),
        events_mean=sure(1),
        settings=name,
        concepts=1,
        draws=1,
        seed=0,
        sources=(),
        unknown=(),
    )
    return Choice(Alternative.parse(settings), forecast)


def test_an_alternative_changes_only_what_it_names() -> None:
    base = Settings.model_validate({"store": {"pool_size": 3}, "strategies": {"global": {"x": 1}}})
    text = "strategy=per-roadmap:limit=7+global:concurrency=9 executors.celery.concurrency=4"
    found = Alternative.parse(text).applied(base)
    assert list(found.strategy) == ["per-roadmap", "global"]
    assert found.strategies == {
        "global": {"x": 1, "concurrency": "9"},
        "per-roadmap": {"limit": "7"},
    }
    assert found.executors == {"celery": {"concurrency": "4"}}
    assert found.store == base.store
    assert base.strategies == {"global": {"x": 1}}


@pytest.mark.parametrize("text", ["strategy", "workers=0", "workers=x", "", "strategy=global:x"])
def test_a_wrong_alternative_is_an_error(text: str) -> None:
    with pytest.raises(SettingsError):
        Alternative.parse(text)


def test_an_alternative_with_an_unknown_key_is_an_error() -> None:
    with pytest.raises(SettingsError, match="stroe"):
        Alternative.parse("stroe.pool_size=3").applied(Settings())


@given(
    st.lists(st.tuples(*[st.integers(1, 5).map(float) for _ in range(3)]), min_size=1, max_size=12)
)
def test_nothing_beats_the_pareto_front(figures: list[tuple[float, float, float]]) -> None:
    choices = [a_choice(str(one), one[0], cost=one[1], connections=one[2]) for one in figures]
    front = pareto(choices)
    assert front
    for place, one in enumerate(choices):
        beaten = any(
            other != figures[place]
            and all(a <= b for a, b in zip(other, figures[place], strict=True))
            for other in figures
        )
        assert (one in front) is not beaten


def test_the_recommended_setting_keeps_every_constraint() -> None:
    choices = [
        a_choice("fast", 10, connections=90),
        a_choice("dear", 20, cost=9),
        a_choice("fails", 15, failed=3),
        a_choice("good", 30, settings="strategy=global:concurrency=16 workers=2"),
        a_choice("slow", 99),
    ]
    found = recommend(choices, Constraints(max_connections=60, budget=5, within=50))
    assert found is not None
    assert found.choice is choices[3]
    assert tomllib.loads(found.snippet) == {
        "strategy": ["global"],
        "strategies": {"global": {"concurrency": 16}},
    }
    assert "4 break a constraint" in found.reason


def test_of_settings_that_are_as_fast_the_lightest_is_recommended() -> None:
    choices = [a_choice("heavy", 100, connections=50), a_choice("light", 102, connections=9)]
    found = recommend(choices, Constraints())
    assert found is not None
    assert found.choice is choices[1]


def test_if_no_setting_keeps_the_constraints_none_is_recommended() -> None:
    assert recommend([a_choice("slow", 100)], Constraints(within=50)) is None


def test_a_snippet_is_read_by_the_settings(tmp_path: Path) -> None:
    found = recommend([a_choice("x", 1, settings="strategy=per-roadmap:limit=7")], Constraints())
    assert found is not None
    file = tmp_path / "paceline.toml"
    file.write_text(found.snippet)
    app = App.load(file, environ={})
    assert app.settings.strategies["per-roadmap"]["limit"] == 7
