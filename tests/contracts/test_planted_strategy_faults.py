"""The strategy suite names the faults of authors, with a small example."""

import re

import pytest
from paceline import Strategy
from paceline.contracts.admission.ledger import Ledger, Quota
from paceline.testing.contracts import StrategyContract
from paceline_strategies.global_limit import GlobalLimit

from tests.contracts import broken_strategies as broken
from tests.support.suite_runs import complaint, names_of


def suite_of(made: type[Strategy]) -> type[StrategyContract]:
    """The suite that an author would write."""

    class Suite(StrategyContract):
        limit = broken.LIMIT
        per = "run_id"

        def strategy(self, ledger: Ledger) -> Strategy:
            return made()

    return Suite


@pytest.mark.parametrize("test", names_of(suite_of(broken.Right)))
def test_the_correct_implementation_passes(test: str) -> None:
    getattr(suite_of(broken.Right)(), test)()


@pytest.mark.parametrize(
    ("made", "test", "says"),
    [
        (broken.LeaksOnCancel, "test_cancelling_leaks_nothing", "leak on cancel"),
        (broken.RaisesOnCancel, "test_cancelling_leaks_nothing", "fault on cancel"),
        (broken.IgnoresCancel, "test_cancelling_leaks_nothing", "cancelled in vain"),
        (broken.IgnoresCancel, "test_every_waiter_is_served", "cancelled in vain"),
        (broken.Overruns, "test_never_more_out_than_the_limit", "overrun: 3 permits"),
        (broken.LosesWakeUps, "test_a_cancelled_waiter_passes_its_wake_up_on", "lost wake-up"),
        (broken.ReleasesTwice, "test_releasing_twice_frees_one_permit", "double release"),
        (broken.SharesBetweenRuns, "test_runs_and_models_share_no_state", "state shared between"),
        (broken.Starves, "test_every_waiter_is_served", "starving waiter"),
        (
            broken.ForgetsRefusals,
            "test_each_release_admits_one",
            "lost permit: released with RateL",
        ),
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


def test_any_order_of_steps_finds_it_too_and_shows_the_steps() -> None:
    text = complaint(suite_of(broken.ReleasesTwice), "test_any_order_of_steps_keeps_the_promises")
    assert "overrun: 3 permits" in text
    assert "state.release(one=0, twice=True)" in text


def test_a_counter_outside_of_the_strategy_is_caught() -> None:
    suite = suite_of(broken.SharesBetweenStrategies)
    try:
        text = complaint(suite, "test_strategies_are_independent")
    finally:
        broken._out.clear()
    assert "keep it in the object" in text


def test_a_strategy_that_declares_wrong_levels_is_caught() -> None:
    suite = suite_of(broken.DeclaresWrongLevels)
    assert "its `levels` are ['concept']" in complaint(suite, "test_declares_what_it_is")


def test_levels_that_share_one_limit_are_caught() -> None:
    text = complaint(suite_of(broken.SharesBetweenLevels), "test_levels_have_separate_limits")
    assert "deadlock: a concept waits though only calls hold permits" in text


def test_a_limit_declared_as_shared_that_is_not_is_caught() -> None:
    class Alone(broken.Right):
        shared = True

    class Suite(suite_of(Alone)):  # type: ignore[misc]
        shared = True

    assert "overrun" in complaint(Suite, "test_all_workers_together_keep_the_limit")


def test_permits_of_a_dead_worker_that_never_expire_are_caught() -> None:
    held: list[object] = []

    class Immortal(GlobalLimit):
        """Keeps its leases in a ledger where they never expire."""

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

    text = complaint(Suite, "test_permits_of_a_dead_worker_are_freed")
    assert "a dead worker keeps its permits" in text
