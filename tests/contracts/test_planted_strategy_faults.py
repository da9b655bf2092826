"""The suite of strategies catches faults of authors by name, with a small example."""

import re

import pytest
from paceline import Strategy
from paceline.contracts.ledger import Ledger, Quota
from paceline.testing.contracts import StrategyContract
from paceline_strategies.over_all_workers import GlobalLimit

from tests.contracts import broken_strategies as broken
from tests.support.suite_runs import complaint, names_of


def suite_of(made: type[Strategy]) -> type[StrategyContract]:
    """What an author would write."""

    class Suite(StrategyContract):
        limit = broken.LIMIT
        per = "run_id"

        def strategy(self, ledger: Ledger) -> Strategy:
            return made()

    return Suite


@pytest.mark.parametrize("test", names_of(suite_of(broken.Right)))
def test_the_right_one_passes(test: str) -> None:
    getattr(suite_of(broken.Right)(), test)()


@pytest.mark.parametrize(
    ("made", "test", "says"),
    [
        (broken.LeaksOnCancel, "test_cancelling_leaks_nothing", "leak on cancel"),
        (broken.RaisesOnCancel, "test_cancelling_leaks_nothing", "fault on cancel"),
        (broken.IgnoresCancel, "test_cancelling_leaks_nothing", "cancelled in vain"),
        (broken.IgnoresCancel, "test_nobody_starves", "cancelled in vain"),
        (broken.Overruns, "test_never_more_out_than_the_limit", "overrun: 3 permits"),
        (broken.LosesWakeUps, "test_a_wake_up_is_not_lost_with_who_it_went_to", "lost wake-up"),
        (broken.ReleasesTwice, "test_releasing_twice_gives_back_once", "double release"),
        (broken.SharesBetweenRuns, "test_runs_and_models_share_no_state", "state shared between"),
        (broken.Starves, "test_nobody_starves", "starving waiter"),
        (broken.ForgetsRefusals, "test_each_release_lets_one_in", "lost permit: released with Ref"),
    ],
)
def test_a_fault_is_caught_by_name_with_a_small_example(
    made: type[Strategy], test: str, says: str
) -> None:
    text = complaint(suite_of(made), test)
    assert says in text
    (example,) = re.findall(r"^[A-Z].*: holds\((.*?)^\)$", text, re.MULTILINE | re.DOTALL)
    assert 0 < len(example) < 200
    assert not re.search(r"=,?$", example, re.MULTILINE), "an example shows its values"


def test_any_order_of_events_finds_it_too_and_shows_the_steps() -> None:
    text = complaint(suite_of(broken.ReleasesTwice), "test_any_order_of_events_keeps_the_promises")
    assert "overrun: 3 permits" in text
    assert "state.release(one=0, twice=True)" in text


def test_a_count_outside_of_the_strategy_is_caught() -> None:
    suite = suite_of(broken.SharesBetweenStrategies)
    try:
        text = complaint(suite, "test_strategies_know_nothing_of_each_other")
    finally:
        broken._out.clear()
    assert "keep it in the object" in text


def test_a_level_that_it_does_not_govern_is_caught() -> None:
    suite = suite_of(broken.LimitsWhatItDoesNotSay)
    assert "its `levels` are ['concept']" in complaint(suite, "test_says_what_it_is")


def test_a_level_that_it_leaves_to_others_and_holds_up_is_caught() -> None:
    text = complaint(
        suite_of(broken.HoldsUpTheOtherLevel), "test_work_of_another_level_passes_at_once"
    )
    assert "held up: a concept waits, but `levels` are ['call']" in text


def test_a_limit_that_is_not_shared_is_caught_where_it_says_so() -> None:
    class Alone(broken.Right):
        shared = True

    class Suite(suite_of(Alone)):  # type: ignore[misc]
        shared = True

    assert "overrun" in complaint(Suite, "test_all_workers_together_keep_the_limit")


def test_permits_of_the_dead_that_never_end_are_caught() -> None:
    held: list[object] = []

    class Immortal(GlobalLimit):
        """Counts in a place that knows of no death."""

        def __init__(self, ledger: Ledger) -> None:
            super().__init__(Quota(concurrency=2), ledger, holder=str(len(held)))

    class Suite(StrategyContract):
        limit = 2
        per = "key"
        shared = True

        def strategy(self, ledger: Ledger) -> Strategy:
            return Immortal(self.everlasting)

        def ledger(self) -> Ledger:
            from paceline_adapters.memory.ledger import MemoryLedger

            self.everlasting = MemoryLedger()
            return self.everlasting

    text = complaint(Suite, "test_a_dead_workers_permits_come_back")
    assert "a dead worker keeps its permits" in text
