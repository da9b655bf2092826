"""What runs spent without an artifact, until the store has it."""

from collections.abc import Sequence

from paceline.contracts.storage.records import Claim
from paceline.contracts.storage.spending import Charge
from paceline.contracts.storage.store import Store


class UnsavedCharges:
    """Keeps the charges of a worker's runs while the store is unreachable."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[tuple[Claim, Charge]] = []

    def add(self, claim: Claim, charges: Sequence[Charge]) -> None:
        """Add charges of one run."""
        self._waiting += [(claim, charge) for charge in charges]

    async def write(self) -> None:
        """Write all charges; those that were not written stay for the next call.

        Raises:
            PartUnavailable: the store is unreachable.
        """
        while self._waiting:
            claim, charge = self._waiting[0]
            await self._store.charge(claim, charge)
            # Another call may have written it meanwhile; writing a charge twice counts it once.
            if self._waiting and self._waiting[0] == (claim, charge):
                del self._waiting[0]
