"""The contract of strategies: when may work start?"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from paceline.errors import SettingsError
from paceline.work import Failed, Level, Outcome, Permit, Work

BOTH: frozenset[Level] = frozenset({"concept", "call"})


class Strategy(ABC):
    """Admits work.

    One object serves all runs of a worker process. It is made on the process's event loop
    and closed there.
    """

    #: The levels this strategy limits; it admits work of the other level at once.
    levels: ClassVar[frozenset[Level]] = BOTH
    #: Whether it limits calls per time; such a strategy stands last in a stack.
    rate_limited: bool = False
    #: Whether it holds back everybody when a call is refused: who was refused need not pause.
    holds_refusals: bool = False
    #: Whether its limit holds over all workers or, if not, for each process apart.
    shared: ClassVar[bool] = False

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


def _release_all(permits: Sequence[Permit], outcome: Outcome) -> None:
    for permit in reversed(permits):
        permit.release(outcome)


class Stack(Strategy):
    """Several strategies as one: the left one is outer.

    Permits are acquired left to right and released in reverse. Nobody who holds a call
    permit admits again, so each level's order is the same for everybody and no two
    strategies can wait for each other.
    """

    def __init__(self, named: Sequence[tuple[str, Strategy]]) -> None:
        rated = [name for name, strategy in named if strategy.rate_limited]
        if len(rated) > 1:
            raise SettingsError(
                f"strategy: at most one may limit a rate, but {', '.join(rated)} all do"
            )
        if rated and rated[0] != named[-1][0]:
            raise SettingsError(f"strategy: {rated[0]} limits a rate and must stand last")
        self._named = tuple(named)
        levels: frozenset[Level] = frozenset()
        for _, strategy in named:
            levels |= strategy.levels
        self.governs = levels
        self.holds_refusals = any(strategy.holds_refusals for _, strategy in named)
        self.over_all_workers = any(strategy.shared for _, strategy in named)

    async def admit(self, work: Work) -> Permit:
        """Wait for a permit of each strategy that governs this level."""
        held: list[Permit] = []
        try:
            for _, strategy in self._named:
                if work.level in strategy.levels:
                    held.append(await strategy.admit(work))
        except BaseException:
            _release_all(held, Failed())
            raise
        return Permit(lambda outcome: _release_all(held, outcome))

    def explain(self) -> str:
        """What each of them says, from outer to inner."""
        lines = ((name, strategy.explain()) for name, strategy in self._named)
        return " → ".join(f"{name} ({text})" if text else name for name, text in lines)

    async def close(self) -> None:
        """Close them, inner first."""
        for _, strategy in reversed(self._named):
            await strategy.close()
