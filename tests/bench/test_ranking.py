"""The ranking of settings by bounds."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paceline import UsageError
from paceline_adapters.bench.report.ranking import (
    Constraints,
    is_tie,
    pareto,
    rank,
    token_bound_unchecked,
)
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
    assert _names([one.cell for one in ranking.tied]) == ["many", "few"]
    assert ranking.recommended is ranking.tied[1]


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


def test_cells_are_tied_if_chance_explains_their_difference() -> None:
    assert is_tie([0.9, 1.1, 1.2, 1.1, 1.0])
    assert not is_tie([1.1, 1.1, 1.2, 1.1, 1.1])
    assert is_tie([1.04]), "one round shows no small difference"
    assert not is_tie([1.5])


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
    assert ranking.recommended is not None
    chosen = ranking.recommended.cell
    assert all(
        (chosen.median("connections_peak") or 0) <= (one.cell.median("connections_peak") or 0)
        for one in ranking.tied
    )


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
