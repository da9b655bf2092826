"""The schedule that a run is held against is the one that can be reached, and no better."""

import pytest

from benchmarks.overhead import Row
from benchmarks.schedule import by_calls, by_concepts


def test_chains_fill_the_places_that_come_free_first() -> None:
    """Two places: 3+2 beside 4+1, then the last goes where five seconds are over."""
    assert by_concepts([(1.0, 2.0), (4.0,), (2.0,), (1.0,)], 2) == pytest.approx(5.0)


def test_enough_places_leave_the_longest_chain() -> None:
    """Nobody waits."""
    assert by_concepts([(1.0, 2.0), (4.0,)], 9) == pytest.approx(4.0)
    assert by_calls([[(1.0, 2.0)], [(4.0,)]], 9) == pytest.approx(4.0)


def test_one_place_takes_the_sum_of_all_calls() -> None:
    """In whatever order."""
    assert by_calls([[(1.0, 2.0), (3.0,)], [(4.0, 5.0)]], 1) == pytest.approx(15.0)


def test_a_call_is_ready_when_the_one_before_it_ends() -> None:
    """With a place to spare it does not begin earlier."""
    assert by_calls([[(1.0, 1.0, 1.0), (2.0,)]], 2) == pytest.approx(3.0)


def test_roadmaps_take_turns_with_their_first_calls() -> None:
    """A long roadmap does not keep the other's long chain waiting until its own end."""
    assert by_calls([[(1.0,), (1.0,), (1.0,)], [(3.0,)]], 2) == pytest.approx(3.0)


def test_a_target_is_met_by_the_median_of_the_ratios_of_each_round() -> None:
    """One slow round on both sides moves no ratio; one on our side moves no median."""
    row = Row("Makespan, s", [2.0, 20.0, 9.0], [2.0, 20.0, 3.0], 1.0)
    assert row.ratios == [1.0, 1.0, 3.0]
    assert row.met
    assert not Row("Makespan, s", [2.2, 2.2], [2.0, 2.0], 1.05).met
    assert "| NO |" in str(Row("Makespan, s", [2.2], [2.0], 1.05))
