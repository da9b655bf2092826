"""When a target is met."""

from benchmarks.overhead import Row


def test_a_target_is_judged_by_the_median_of_the_ratios_of_all_rounds() -> None:
    """One slow round on both sides moves no ratio; one on our side moves no median."""
    row = Row("Makespan, s", [2.0, 20.0, 9.0], [2.0, 20.0, 3.0], 1.0)
    assert row.ratios == [1.0, 1.0, 3.0]
    assert row.met
    assert not Row("Makespan, s", [2.2, 2.2], [2.0, 2.0], 1.05).met
    assert "| NO |" in str(Row("Makespan, s", [2.2], [2.0], 1.05))
