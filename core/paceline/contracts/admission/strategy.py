"""The contract of strategies: when may work start?"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from paceline.contracts.admission.limit_figures import LimitFigures
from paceline.contracts.admission.planned_call import PlannedRoadmap
from paceline.contracts.admission.work import Level, Permit, Work
from paceline.contracts.storage.budgets import BudgetLimits

BOTH: frozenset[Level] = frozenset({"concept", "call"})


class Strategy(ABC):
    """Admits work.

    One object serves all runs of a worker process. It is made on the process's event loop
    and closed there.
    """

    #: The levels that this strategy limits. It receives only work of these levels.
    levels: frozenset[Level] = BOTH
    #: Whether it limits calls per time. Such a strategy must be the last of a stack.
    rate_limited: bool = False
    #: Whether a refused call makes it hold back all calls, so that its caller need not pause.
    holds_refusals: bool = False
    #: Whether its limit counts the permits of all workers together.
    shared: bool = False
    #: The limits of the money that it reserves for calls; ``None`` if it reserves none.
    budget_limits: BudgetLimits | None = None

    @abstractmethod
    async def admit(self, work: Work) -> Permit:
        """Wait until ``work`` may start, and return its permit.

        If the wait is cancelled, no permit may remain out.

        Raises:
            RunPaused: the run must pause.
        """

    def explain(self) -> str:
        """Describe the current limits and their reasons, in one line for ``paceline status``."""
        return ""

    def limits(self) -> Sequence[LimitFigures]:
        """Report the current limits in numbers; a strategy without numbers reports none."""
        return ()

    def lower_bound(self, roadmaps: Sequence[PlannedRoadmap], *, workers: int) -> float | None:
        """Seconds that the strategy's limit makes this work take at least; ``None`` if unknown.

        The benchmark compares the makespan with it, so that a limit does not look like waste.
        Nothing else calls it.

        Args:
            roadmaps: the calls of a round. All of them may start at once.
            workers: number of processes, each with a strategy object of its own.
        """
        del roadmaps, workers
        return None

    def limits_changed(self) -> None:
        """Apply limits that an operator changed; by default nothing. See ``Context.controls``."""

    async def close(self) -> None:
        """Release what the strategy holds. ``admit`` is not called afterwards."""
