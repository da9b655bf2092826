"""The suite of executors passes a stranger's right one and catches planted faults by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from paceline.testing.contracts import ExecutorContract

from tests.contracts import broken_executors as broken
from tests.support.suite_runs import complaint, names_of


def suite_of(made: type[broken.Right], queue: Path, seconds: float = 60) -> type[ExecutorContract]:
    """What an author would write."""

    class Suite(ExecutorContract):
        executor = made.name
        modules = (broken.__name__,)
        patience: ClassVar[float] = seconds

        def settings(self) -> Mapping[str, Any]:
            return {"executors": {self.executor: {"folder": str(queue)}}}

    return Suite


@pytest.mark.soak
@pytest.mark.parametrize("test", names_of(suite_of(broken.Right, Path())))
def test_the_correct_implementation_passes(test: str, tmp_path: Path) -> None:
    getattr(suite_of(broken.Right, tmp_path)(), test)()


@pytest.mark.parametrize(
    ("made", "test", "says"),
    [
        pytest.param(
            broken.RunsTwice,
            "test_what_is_submitted_again_runs_once",
            "ran twice",
            marks=pytest.mark.soak,
        ),
        (
            broken.ForgetsTheEarly,
            "test_what_is_submitted_before_a_worker_serves_is_run",
            "lost run: it was submitted before",
        ),
        pytest.param(
            broken.QueuesInMemory,
            "test_what_is_submitted_before_a_worker_serves_is_run",
            "lost run: it was submitted before",
            marks=pytest.mark.soak,
        ),
        (
            broken.Exceeds,
            "test_a_worker_has_no_more_runs_at_once_than_it_may",
            "runs were in work at once in a worker with concurrency 2",
        ),
        (
            broken.DiesOfErrors,
            "test_a_runner_that_raises_does_not_take_the_worker_down",
            "dead worker",
        ),
        pytest.param(
            broken.KeepsWhatItTook,
            "test_a_worker_that_is_stopped_leaves_the_rest_to_the_next",
            "lost run: a worker that was stopped",
            marks=pytest.mark.soak,
        ),
        pytest.param(
            broken.NeverStops,
            "test_a_worker_that_is_stopped_leaves_the_rest_to_the_next",
            "does not stop",
            marks=pytest.mark.soak,
        ),
    ],
)
def test_an_executor_with_a_fault_is_caught(
    made: type[broken.Right], test: str, says: str, tmp_path: Path
) -> None:
    assert says in complaint(suite_of(made, tmp_path, seconds=20), test)


def test_each_declared_capability_adds_its_tests() -> None:
    class Looks(ExecutorContract):
        executor = "mine"
        inspects = True
        broker = True
        dies = False

    plain = set(names_of(suite_of(broken.Right, Path())))
    assert set(names_of(Looks)) - plain == {
        "test_inspect_names_what_each_worker_holds",
        "test_a_broker_that_is_away_is_told_as_such",
    }
    assert plain - set(names_of(Looks)) == {"test_the_run_of_a_dead_worker_goes_on_in_another"}
