"""Random steps of workers: a run has one owner at a time, and no saved artifact is lost."""

from typing import cast

from hypothesis.stateful import run_state_machine_as_test

from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.machine import Leases


class StoreAnyOrder(StoreScenarios):
    """Steps in any order."""

    def test_any_order_of_steps_keeps_the_promises(self) -> None:
        """Claim, renew, expire, crash, take over, write with an old claim, resume."""
        run_state_machine_as_test(
            cast("type[Leases]", lambda: Leases(self)), settings=self.bounds(self.steps)
        )
