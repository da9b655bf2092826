"""What every store promises: one owner a run, and what is saved is saved once."""

from paceline.testing.contracts.store.any_order import StoreAnyOrder
from paceline.testing.contracts.store.ends import StoreEnds
from paceline.testing.contracts.store.orphans import StoreOrphans
from paceline.testing.contracts.store.ownership import StoreOwnership
from paceline.testing.contracts.store.runs import StoreRuns
from paceline.testing.contracts.store.saves import StoreSaves
from paceline.testing.contracts.store.workers import StoreWorkers


class StoreContract(
    StoreRuns, StoreEnds, StoreOwnership, StoreOrphans, StoreSaves, StoreWorkers, StoreAnyOrder
):
    """Inherit it, and make a store.

    Declare:
        shared: whether other processes see the same runs: each store that you make then opens
            the same place.
        clock: whether ``advance`` lets time pass. A store that takes its time from the event
            loop needs no more than to declare it; one with a clock of its own also says how
            that is put forward. Leases are of 30 seconds.
        steps: how many steps a random scenario has.
    """
