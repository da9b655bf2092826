"""Whatever workers do in whatever order: one owner at a time, and nothing saved is lost."""

from typing import cast

from hypothesis.stateful import run_state_machine_as_test

from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.machine import Leases


class StoreAnyOrder(StoreScenarios):
    """Any order of steps."""

    def test_any_order_of_steps_keeps_the_promises(self) -> None:
        """Claim, renew, lapse, crash, take over, write with an old claim, in any order."""
        run_state_machine_as_test(
            cast("type[Leases]", lambda: Leases(self)), settings=self.bounds(self.steps)
        )
