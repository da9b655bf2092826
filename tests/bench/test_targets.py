"""Targets of the benchmarks."""

from benchmarks.overhead import Row


def test_a_target_is_checked_against_the_median_ratio_of_the_rounds() -> None:
    row = Row("Makespan, s", [2.0, 20.0, 9.0], [2.0, 20.0, 3.0], 1.0)
    assert row.ratios == [1.0, 1.0, 3.0]
    assert row.met
    assert not Row("Makespan, s", [2.2, 2.2], [2.0, 2.0], 1.05).met
    assert "| NO |" in str(Row("Makespan, s", [2.2], [2.0], 1.05))
