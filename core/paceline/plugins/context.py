"""What a plugin's factory may reach."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paceline.contracts.ledger import Ledger
from paceline.errors import PluginError
from paceline.settings.model import Settings

if TYPE_CHECKING:
    from paceline.plugins.registry import Plugins


def _no_ledger() -> Ledger:
    raise PluginError("a ledger is at hand in worker processes only")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The process that a part is made for.

    Attributes:
        settings: the effective settings.
        plugins: the plugins of this process, for executors that open workers.
        worker_id: id of the worker; empty in a process that only submits or looks.
        pool_limit: most database connections that this process may open.
        ledger: the process's ledger, made at the first call.
    """

    settings: Settings
    plugins: "Plugins"
    worker_id: str = ""
    pool_limit: int | None = None
    ledger: Callable[[], Ledger] = _no_ledger
