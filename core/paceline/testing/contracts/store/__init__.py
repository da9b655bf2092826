"""What every store guarantees: each run has one owner, and each artifact is saved once."""

from paceline.testing.contracts.store.any_order import StoreAnyOrder
from paceline.testing.contracts.store.budgets import StoreBudgets
from paceline.testing.contracts.store.controls import StoreControls
from paceline.testing.contracts.store.costs import StoreCosts
from paceline.testing.contracts.store.ends import StoreEnds
from paceline.testing.contracts.store.journal import StoreJournal
from paceline.testing.contracts.store.orphans import StoreOrphans
from paceline.testing.contracts.store.outbox import StoreOutbox
from paceline.testing.contracts.store.ownership import StoreOwnership
from paceline.testing.contracts.store.paces import StorePaces
from paceline.testing.contracts.store.pauses import StorePauses
from paceline.testing.contracts.store.retention import StoreRetention
from paceline.testing.contracts.store.runs import StoreRuns
from paceline.testing.contracts.store.saves import StoreSaves
from paceline.testing.contracts.store.scopes import StoreScopes
from paceline.testing.contracts.store.searches import StoreSearches
from paceline.testing.contracts.store.seeds import StoreSeeds
from paceline.testing.contracts.store.spending import StoreSpending
from paceline.testing.contracts.store.tenants import StoreTenants
from paceline.testing.contracts.store.timelines import StoreTimelines
from paceline.testing.contracts.store.versions import StoreVersions
from paceline.testing.contracts.store.workers import StoreWorkers


class StoreContract(
    StoreRuns,
    StoreTenants,
    StoreScopes,
    StoreSearches,
    StoreEnds,
    StorePauses,
    StoreOwnership,
    StoreOrphans,
    StoreSaves,
    StoreJournal,
    StorePaces,
    StoreSpending,
    StoreTimelines,
    StoreBudgets,
    StoreCosts,
    StoreControls,
    StoreVersions,
    StoreSeeds,
    StoreWorkers,
    StoreOutbox,
    StoreRetention,
    StoreAnyOrder,
):
    """Inherit from this suite and implement ``store``.

    Declare:
        shared: whether other processes see the same runs. Every store that you make must then
            open the same database.
        clock: whether ``advance`` lets time pass. For a store that uses the event loop's time,
            declaring it is enough. A store with a clock of its own also overrides ``advance``.
            Leases last 30 seconds.
        steps: number of steps of a random scenario.
    """
