"""The ranking: which setting is recommended under which bounds."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paceline.errors import UsageError
from paceline_adapters.bench.report.ranking import Constraints, is_tie, pareto, rank, unjudged
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


def test_a_bound_that_one_round_breaks_is_broken() -> None:
    quick = cell_of("quick", makespan=[10, 10, 10], connections_peak=[20, 61, 20])
    slow = cell_of("slow", makespan=20, connections_peak=60)
    results = results_of(quick, slow)
    assert _recommended(results, max_connections=60) == "slow"
    assert _recommended(results, max_connections=61) == "quick"


def test_of_tied_settings_the_one_that_asks_least_of_the_database_is_recommended() -> None:
    many = cell_of("many", makespan=[10, 11, 10], connections_peak=40)
    few = cell_of("few", makespan=[10.1, 10.9, 10.2], connections_peak=8)
    slow = cell_of("slow", makespan=30, connections_peak=1)
    ranking = rank(results_of(many, few, slow), Constraints())
    assert _names([one.cell for one in ranking.tied]) == ["many", "few"]
    assert ranking.recommended is ranking.tied[1]


def test_when_nothing_keeps_the_bounds_the_one_that_fails_by_least_is_nearest() -> None:
    far = cell_of("far", makespan=5, connections_peak=90, events_peak=10)
    near = cell_of("near", makespan=50, connections_peak=33, events_peak=10)
    ranking = rank(results_of(far, near), Constraints(max_connections=30, max_events=50))
    assert ranking.recommended is None
    assert ranking.nearest is not None
    assert ranking.nearest.cell.name == "near"
    assert ranking.nearest.excess == pytest.approx(0.1)


def test_what_was_not_measured_keeps_no_bound() -> None:
    blind = cell_of("blind", makespan=1)
    seen = cell_of("seen", makespan=9, connections_peak=5)
    assert _recommended(results_of(blind, seen), max_connections=10) == "seen"


def test_a_bound_on_connections_sets_sqlite_aside_where_a_server_was_measured() -> None:
    embedded = cell_of("embedded", "sqlite", makespan=1)
    served = cell_of("served", makespan=9, connections_peak=5)
    ranking = rank(results_of(embedded, served), Constraints(max_connections=10))
    assert _names(ranking.aside) == ["embedded"]
    assert _recommended(results_of(embedded, served)) == "embedded"
    assert _recommended(results_of(embedded), max_connections=10) == "embedded"


def test_a_program_written_by_hand_is_never_recommended() -> None:
    script = cell_of("script", makespan=1, connections_peak=1).model_copy(
        update={"contestant": "script"}
    )
    ours = cell_of("ours", makespan=2, connections_peak=1)
    assert _recommended(results_of(script, ours)) == "ours"
    assert rank(results_of(script), Constraints()).nearest is None


def test_requests_count_against_a_quota_only_where_the_provider_had_none() -> None:
    quick = cell_of("quick", makespan=1, calls_per_second=20)
    slow = cell_of("slow", makespan=9, calls_per_second=8)
    assert _recommended(results_of(quick, slow), rpm=500) == "slow"
    assert _recommended(results_of(quick, slow, rpm=500), rpm=500) == "quick"
    assert _recommended(results_of(quick, slow, rpm=9000), rpm=500) == "slow"


def test_requests_are_those_at_speed_one() -> None:
    cell = cell_of("quick", makespan=1, calls_per_second=20)
    results = results_of(cell)
    fast = results.model_copy(update={"workload": workload(speed=4.0)})
    assert rank(results, Constraints(rpm=500)).recommended is None
    assert rank(fast, Constraints(rpm=500)).recommended is not None


def test_a_bound_on_tokens_is_judged_only_by_a_provider_that_had_it() -> None:
    assert unjudged(Constraints(tpm=1000), workload())
    assert unjudged(Constraints(tpm=1000), workload(tpm=2000))
    assert not unjudged(Constraints(tpm=1000), workload(tpm=1000))
    assert not unjudged(Constraints(), workload())


@pytest.mark.parametrize("bound", [0, -1, float("nan"), float("inf")])
def test_a_bound_is_a_number_above_zero(bound: float) -> None:
    with pytest.raises(UsageError, match="max_events"):
        Constraints(max_events=bound)


def test_a_difference_is_none_when_chance_explains_it() -> None:
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
def test_whatever_is_recommended_keeps_every_bound_and_nothing_that_does_is_clearly_faster(
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
def test_the_order_in_which_cells_were_measured_changes_nothing(
    cells: list[CellResults], connections: int, events: int
) -> None:
    bounds = Constraints(max_connections=connections, max_events=events)
    first = rank(results_of(*cells), bounds)
    again = rank(results_of(*reversed(cells)), bounds)
    assert [one.cell.name for one in first.met] == [one.cell.name for one in again.met]
    assert [one.cell.name for one in first.missed] == [one.cell.name for one in again.missed]
    assert first.nearest == again.nearest


@given(_cells, st.integers(1, 49))
def test_a_looser_bound_never_costs_time(cells: list[CellResults], connections: int) -> None:
    tight = rank(results_of(*cells), Constraints(max_connections=connections))
    loose = rank(results_of(*cells), Constraints(max_connections=connections + 1))
    if tight.met:
        assert loose.met[0].makespan <= tight.met[0].makespan


@given(st.lists(st.tuples(_count, _makespan), max_size=12))
def test_the_front_holds_exactly_what_nothing_beats(points: list[tuple[float, float]]) -> None:
    front = pareto(points, lambda point: point)

    def beaten(point: tuple[float, float]) -> bool:
        return any(o != point and o[0] <= point[0] and o[1] <= point[1] for o in points)

    assert front == [point for point in points if not beaten(point)]
    assert bool(front) == bool(points)
    best = sorted(set(front))
    assert [y for _, y in best] == sorted({y for _, y in best}, reverse=True)
