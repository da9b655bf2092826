"""Whatever those who ask do, in whatever order: the limit holds and nothing leaks."""

from typing import cast

from hypothesis.stateful import run_state_machine_as_test

from paceline.testing.contracts.strategy.base import StrategyScenarios
from paceline.testing.contracts.strategy.machine import Lives


class StrategyAnyOrder(StrategyScenarios):
    """Any order of events."""

    def test_any_order_of_events_keeps_the_promises(self) -> None:
        """Ask, release, cancel, crash, wait, in any order and at the same moment."""
        run_state_machine_as_test(
            cast("type[Lives]", lambda: Lives(self)),
            settings=self.bounds(steps=15 if self.virtual else 6),
        )
