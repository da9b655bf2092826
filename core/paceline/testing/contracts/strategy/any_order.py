"""Random sequences of steps: the limit holds and nothing leaks."""

from typing import cast

from hypothesis.stateful import run_state_machine_as_test

from paceline.testing.contracts.strategy.base import StrategyScenarios
from paceline.testing.contracts.strategy.machine import Lives


class StrategyAnyOrder(StrategyScenarios):
    """Random sequences of steps."""

    def test_any_order_of_steps_keeps_the_promises(self) -> None:
        """Admit, release, cancel, crash and wait, in any order and at the same time."""
        run_state_machine_as_test(
            cast("type[Lives]", lambda: Lives(self)),
            settings=self.bounds(steps=15 if self.virtual else 6),
        )
