"""The ranking of settings by bounds."""

import json
from collections.abc import Sequence
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paceline import UsageError
from paceline_adapters.bench.figures import FIGURES
from paceline_adapters.bench.quantiles import quartiles
from paceline_adapters.bench.report import render
from paceline_adapters.bench.report.preference import (
    CRITERIA,
    PREFERENCES,
    REDIS,
    Preference,
    best_of,
    decide,
    is_tie,
    values_of,
)
from paceline_adapters.bench.report.ranking import Constraints, pareto, rank, token_bound_unchecked
from paceline_adapters.bench.report.ranking_json import ranking_to_json
from paceline_adapters.bench.report.reasons import reasons, verdict_line
from paceline_adapters.bench.results import CellResults, Results

from tests.support.bench_results import cell_of, results_of, workload


def _names(cells: Sequence[CellResults]) -> list[str]:
    return [cell.name for cell in cells]


def _recommended(results: Results, **bounds: int) -> str:
    chosen = rank(results, Constraints(**bounds)).recommended
    assert chosen is not None
    return chosen.cell.name


def test_without_bounds_the_fastest_is_recommended() -> None:
    slow = cell_of("slow", makespan=20, connections_peak=1)
    quick = cell_of("quick", makespan=10, connections_peak=99)
    assert _recommended(results_of(slow, quick)) == "quick"


def test_a_bound_must_be_met_in_every_round() -> None:
    quick = cell_of("quick", makespan=[10, 10, 10], connections_peak=[20, 61, 20])
    slow = cell_of("slow", makespan=20, connections_peak=60)
    results = results_of(quick, slow)
    assert _recommended(results, max_connections=60) == "slow"
    assert _recommended(results, max_connections=61) == "quick"


def test_of_tied_settings_the_one_with_the_fewest_connections_is_recommended() -> None:
    many = cell_of("many", makespan=[10, 11, 10], connections_peak=40)
    few = cell_of("few", makespan=[10.1, 10.9, 10.2], connections_peak=8)
    slow = cell_of("slow", makespan=30, connections_peak=1)
    ranking = rank(results_of(many, few, slow), Constraints())
    assert _names(ranking.first) == ["few", "many"]
    assert [one.cell.name for one in ranking.tied] == ["few"]
    assert verdict_line(ranking) == "Recommended: few."
    assert [reason.replace("\N{NARROW NO-BREAK SPACE}", " ") for reason in reasons(ranking)] == [
        "Tie in makespan: few and many.",
        "Decided by makespan: 10 s against 30 s or more (few and many).",
        "Decided by connections, peak: 8 against 40 or more (few).",
    ]


def test_a_difference_inside_the_spread_decides_nothing_and_is_called_a_tie() -> None:
    one = cell_of("one", "sqlite", makespan=[10, 11, 10], rss_peak=[96.6, 98.0, 95.0])
    other = cell_of("other", "sqlite", makespan=[10, 11, 10], rss_peak=[96.9, 97.5, 95.5])
    ranking = rank(results_of(other, one), Constraints())
    assert [verdict.cell.name for verdict in ranking.tied] == ["one", "other"]
    assert verdict_line(ranking) == "Tie: one, together with other."
    assert reasons(ranking) == [
        "Tie: no criterion separates one and other by more than the spread."
    ]


def test_the_preference_says_which_criterion_decides_first() -> None:
    quick = cell_of("quick", makespan=10, unfairness=2.0, tokens_per_concept=900)
    fair = cell_of("fair", makespan=20, unfairness=1.0, tokens_per_concept=900)
    cheap = cell_of("cheap", makespan=30, unfairness=3.0, tokens_per_concept=700)
    results = results_of(quick, fair, cheap)
    found = {prefer: verdict_line(rank(results, Constraints(), prefer)) for prefer in PREFERENCES}
    assert found == {
        "time": "Recommended: quick.",
        "cost": "Recommended: cheap.",
        "fairness": "Recommended: fair.",
    }


def test_roadmaps_that_end_earlier_decide_between_equal_makespans() -> None:
    late = cell_of("late", makespan=10, roadmap_end_p50=9.5, connections_peak=1)
    early = cell_of("early", makespan=10, roadmap_end_p50=5, connections_peak=9)
    assert _recommended(results_of(late, early)) == "early"


def test_a_criterion_that_was_not_measured_for_a_cell_decides_nothing() -> None:
    measured = cell_of("measured", makespan=10, cpu_per_call=1, connections_peak=5)
    unmeasured = cell_of("unmeasured", makespan=10, connections_peak=5)
    assert len(rank(results_of(measured, unmeasured), Constraints()).tied) == 2


def test_each_preference_weighs_everything_that_users_weigh() -> None:
    weighed = {"makespan", "roadmap_end_p50", "roadmap_end_p95", "unfairness", "calls_refused"}
    weighed |= {"tokens_per_concept", "connections_peak", "transactions_per_concept", "events_peak"}
    for prefer in PREFERENCES:
        assert weighed <= set(CRITERIA[prefer])
        assert set(CRITERIA[prefer]) == set(CRITERIA["time"])
        assert all(FIGURES[name].better == "lower" for name in CRITERIA[prefer] if name != REDIS)


def test_if_no_setting_meets_the_bounds_the_one_with_the_smallest_excess_is_nearest() -> None:
    far = cell_of("far", makespan=5, connections_peak=90, events_peak=10)
    near = cell_of("near", makespan=50, connections_peak=33, events_peak=10)
    ranking = rank(results_of(far, near), Constraints(max_connections=30, max_events=50))
    assert ranking.recommended is None
    assert ranking.nearest is not None
    assert ranking.nearest.cell.name == "near"
    assert ranking.nearest.excess == pytest.approx(0.1)


def test_an_unmeasured_figure_meets_no_bound() -> None:
    blind = cell_of("blind", makespan=1)
    seen = cell_of("seen", makespan=9, connections_peak=5)
    assert _recommended(results_of(blind, seen), max_connections=10) == "seen"


def test_sqlite_is_not_ranked_with_a_bound_on_connections_if_a_server_was_measured() -> None:
    embedded = cell_of("embedded", "sqlite", makespan=1)
    served = cell_of("served", makespan=9, connections_peak=5)
    ranking = rank(results_of(embedded, served), Constraints(max_connections=10))
    assert _names(ranking.not_ranked) == ["embedded"]
    assert _recommended(results_of(embedded, served)) == "embedded"
    assert _recommended(results_of(embedded), max_connections=10) == "embedded"


def test_a_store_that_loses_its_runs_is_recommended_only_if_no_other_was_measured() -> None:
    lost = cell_of("lost", "memory", makespan=1)
    kept = cell_of("kept", "sqlite", makespan=9)
    assert _recommended(results_of(lost, kept)) == "kept"
    assert _recommended(results_of(lost)) == "lost"
    page = render(results_of(lost, kept), Constraints())
    assert "these settings keep runs in memory" in page


def test_a_hand_written_program_is_never_recommended() -> None:
    script = cell_of("script", makespan=1, connections_peak=1).model_copy(
        update={"contestant": "script"}
    )
    ours = cell_of("ours", makespan=2, connections_peak=1)
    assert _recommended(results_of(script, ours)) == "ours"
    assert rank(results_of(script), Constraints()).nearest is None


def test_requests_are_checked_only_if_the_provider_had_no_such_quota() -> None:
    quick = cell_of("quick", makespan=1, calls_per_second=20)
    slow = cell_of("slow", makespan=9, calls_per_second=8)
    assert _recommended(results_of(quick, slow), rpm=500) == "slow"
    assert _recommended(results_of(quick, slow, rpm=500), rpm=500) == "quick"
    assert _recommended(results_of(quick, slow, rpm=9000), rpm=500) == "slow"


def test_requests_are_converted_to_speed_one() -> None:
    cell = cell_of("quick", makespan=1, calls_per_second=20)
    results = results_of(cell)
    fast = results.model_copy(update={"workload": workload(speed=4.0)})
    assert rank(results, Constraints(rpm=500)).recommended is None
    assert rank(fast, Constraints(rpm=500)).recommended is not None


def test_a_bound_on_tokens_is_checked_only_with_that_quota() -> None:
    assert token_bound_unchecked(Constraints(tpm=1000), workload())
    assert token_bound_unchecked(Constraints(tpm=1000), workload(tpm=2000))
    assert not token_bound_unchecked(Constraints(tpm=1000), workload(tpm=1000))
    assert not token_bound_unchecked(Constraints(), workload())


@pytest.mark.parametrize("bound", [0, -1, float("nan"), float("inf")])
def test_a_bound_must_be_a_number_above_zero(bound: float) -> None:
    with pytest.raises(UsageError, match="max_events"):
        Constraints(max_events=bound)


def test_cells_tie_unless_each_median_lies_outside_the_spread_of_the_other() -> None:
    assert is_tie([10, 11, 12, 13, 14], [11, 12, 13, 14, 15])
    assert not is_tie([10, 11, 12, 13, 14], [20, 21, 22, 23, 24])
    assert is_tie([10, 10, 10, 10], [9, 9.9, 10.2, 30]), "one of them varies more"
    assert is_tie([10.0, 10.0, 10.0, 10.0], [10.05, 10.05, 10.05, 10.05]), "below one per cent"
    assert is_tie([1.0], [1.04]), "one round shows no small difference"
    assert not is_tie([1.0], [1.5])
    assert is_tie([0.0], [0.0])
    assert not is_tie([0.0], [1.0])


_rounds = st.lists(st.floats(0, 100), min_size=1, max_size=6)


@given(_rounds, _rounds)
def test_a_tie_is_mutual_and_every_cell_ties_with_itself(
    one: list[float], two: list[float]
) -> None:
    assert is_tie(one, two) == is_tie(two, one)
    assert is_tie(one, one)


_makespan = st.integers(1, 50).map(float)
_count = st.integers(1, 50).map(float)
_cells = st.lists(
    st.tuples(st.lists(_makespan, min_size=4, max_size=4), _count, _count),
    min_size=1,
    max_size=8,
).map(
    lambda drawn: [
        cell_of(
            f"cell {number}",
            makespan=times,
            connections_peak=[connections] * 4,
            events_peak=[events] * 4,
        )
        for number, (times, connections, events) in enumerate(drawn)
    ]
)


@given(_cells, st.integers(1, 50), st.integers(1, 50))
def test_the_recommendation_meets_every_bound_and_is_tied_with_the_fastest(
    cells: list[CellResults], connections: int, events: int
) -> None:
    results = results_of(*cells)
    bounds = Constraints(max_connections=connections, max_events=events)
    ranking = rank(results, bounds)
    fitting = {
        cell.name
        for cell in cells
        if max(cell.values("connections_peak")) <= connections
        and max(cell.values("events_peak")) <= events
    }
    assert {one.cell.name for one in ranking.met} == fitting
    assert len(ranking.met) + len(ranking.missed) == len(cells)
    assert all(one.excess > 0 for one in ranking.missed)
    if not fitting:
        assert ranking.recommended is None
        return
    assert ranking.recommended in ranking.tied
    fastest = min(cell.median("makespan") or 0 for cell in cells if cell.name in fitting)
    assert ranking.met[0].makespan == fastest
    assert ranking.met[0].cell in ranking.first
    assert {one.cell.name for one in ranking.tied} <= {cell.name for cell in ranking.first}


@given(_cells, st.sampled_from(PREFERENCES))
def test_a_cell_is_dropped_only_if_another_one_is_better_by_more_than_the_spread(
    cells: list[CellResults], prefer: Preference
) -> None:
    left, decisions = decide(cells, prefer)
    assert left == best_of(left, CRITERIA[prefer][0])
    for decision in decisions:
        kept = [values_of(cell, decision.criterion) for cell in decision.kept]
        best = min(kept, key=lambda values: (median(values), quartiles(values)))
        for cell in decision.dropped:
            values = values_of(cell, decision.criterion)
            assert not is_tie(values, best)
            assert median(values) > median(best)
    dropped = {cell.name for decision in decisions for cell in decision.dropped}
    assert {cell.name for cell in left} == {cell.name for cell in cells} - dropped


@given(_cells, st.integers(1, 50), st.integers(1, 50))
def test_the_ranking_does_not_depend_on_the_order_of_cells(
    cells: list[CellResults], connections: int, events: int
) -> None:
    bounds = Constraints(max_connections=connections, max_events=events)
    first = rank(results_of(*cells), bounds)
    again = rank(results_of(*reversed(cells)), bounds)
    assert [one.cell.name for one in first.met] == [one.cell.name for one in again.met]
    assert [one.cell.name for one in first.missed] == [one.cell.name for one in again.missed]
    assert first.nearest == again.nearest


@given(_cells, st.integers(1, 49))
def test_a_looser_bound_never_makes_the_best_makespan_longer(
    cells: list[CellResults], connections: int
) -> None:
    tight = rank(results_of(*cells), Constraints(max_connections=connections))
    loose = rank(results_of(*cells), Constraints(max_connections=connections + 1))
    if tight.met:
        assert loose.met[0].makespan <= tight.met[0].makespan


@given(st.lists(st.tuples(_count, _makespan), max_size=12))
def test_the_pareto_front_has_exactly_the_points_that_are_not_dominated(
    points: list[tuple[float, float]],
) -> None:
    front = pareto(points, lambda point: point)

    def dominated(point: tuple[float, float]) -> bool:
        return any(o != point and o[0] <= point[0] and o[1] <= point[1] for o in points)

    assert front == [point for point in points if not dominated(point)]
    assert bool(front) == bool(points)
    best = sorted(set(front))
    assert [y for _, y in best] == sorted({y for _, y in best}, reverse=True)


def test_the_ranking_as_json_has_what_the_text_says() -> None:
    fast, slow = cell_of("fast", makespan=10, connections_peak=8), cell_of("slow", makespan=20)
    results = results_of(fast, slow)
    ranking = rank(results, Constraints(max_connections=10))
    found = json.loads(json.dumps(ranking_to_json(ranking), allow_nan=False))
    assert found["recommended"] == "fast"
    assert found["verdict"] == verdict_line(ranking)
    assert found["reasons"] == reasons(ranking)
    assert found["prefer"] == "time"
    assert found["constraints"]["max_connections"] == 10
    assert "strategy" in found["settings"]


def test_the_ranking_as_json_says_that_nothing_is_recommended() -> None:
    cell = cell_of("one", makespan=10, connections_peak=8)
    ranking = rank(results_of(cell), Constraints(max_connections=1))
    found = ranking_to_json(ranking)
    assert (found["recommended"], found["settings"]) == (None, None)
    assert found["verdict"] == "No measured setting meets all bounds."
    assert [one["cell"] for one in found["missed"]] == ["one"]  # type: ignore[attr-defined]


def test_cells_that_tied_only_with_a_third_one_are_compared_when_it_is_gone() -> None:
    wide = cell_of("wide", makespan=[5, 10, 11, 20], connections_peak=[9] * 4)
    quick = cell_of("quick", makespan=[10.5, 10.6, 10.7, 10.8], connections_peak=[1] * 4)
    slow = cell_of("slow", makespan=[12.5, 12.6, 12.7, 12.8], connections_peak=[1] * 4)
    left, _ = decide([wide, slow, quick], "time")
    assert [cell.name for cell in left] == ["quick"]
