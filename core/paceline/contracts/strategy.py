"""The contract of strategies: when may work start?"""

from abc import ABC, abstractmethod

from paceline.contracts.work import Level, Permit, Work

BOTH: frozenset[Level] = frozenset({"concept", "call"})


class Strategy(ABC):
    """Admits work.

    One object serves all runs of a worker process. It is made on the process's event loop
    and closed there.
    """

    #: The levels that this strategy limits. It receives only work of these levels.
    levels: frozenset[Level] = BOTH
    #: Whether it limits calls per time; such a strategy stands last in a stack.
    rate_limited: bool = False
    #: Whether it holds back everybody when a call is refused: who was refused need not pause.
    holds_refusals: bool = False
    #: Whether its limit holds over all workers together, not for each process by itself.
    shared: bool = False

    @abstractmethod
    async def admit(self, work: Work) -> Permit:
        """Wait until ``work`` may start.

        Cancelling the wait leaks nothing: either a permit is returned or none is out.
        """

    def explain(self) -> str:
        """One line for ``paceline status``: the limits now, and why."""
        return ""

    async def close(self) -> None:
        """Release what the strategy holds. No ``admit`` follows."""
