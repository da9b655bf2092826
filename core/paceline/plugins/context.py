"""What a plugin's factory receives."""

from collections.abc import Callable
from dataclasses import dataclass, field

from paceline.admission.live_controls import LiveControls
from paceline.contracts.admission.ledger import Ledger
from paceline.contracts.storage.budgets import BudgetStore
from paceline.contracts.worker import WorkerHost
from paceline.errors import PluginError
from paceline.settings.model import Settings


def no_ledger() -> Ledger:
    """Raise, because the process is no worker."""
    raise PluginError("only worker processes have a ledger")


def no_budgets() -> BudgetStore:
    """Raise, because the process is no worker."""
    raise PluginError("only worker processes have budgets")


def _no_host() -> WorkerHost:
    raise PluginError("only an App opens workers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The process that a part is made for.

    Attributes:
        settings: the effective settings.
        worker_id: id of the worker; empty in a process without a worker.
        pool_limit: maximum number of database connections of this process.
        ledger: returns the process's ledger; the first call makes it.
        budgets: returns the worker's store, which counts money.
        host: returns what opens workers in this process, for executors.
        controls: the controls of the worker: strategies read changed limits there.
    """

    settings: Settings
    worker_id: str = ""
    pool_limit: int | None = None
    ledger: Callable[[], Ledger] = no_ledger
    budgets: Callable[[], BudgetStore] = no_budgets
    host: Callable[[], WorkerHost] = _no_host
    controls: LiveControls = field(default_factory=LiveControls)
