"""Several strategies as one."""

from collections.abc import Sequence

from paceline.contracts.strategy import Strategy
from paceline.contracts.work import Failed, Level, Outcome, Permit, Work
from paceline.errors import SettingsError


def _release_all(permits: Sequence[Permit], outcome: Outcome) -> None:
    for permit in reversed(permits):
        permit.release(outcome)


class StrategyStack(Strategy):
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
        no_levels: frozenset[Level] = frozenset()
        self.levels = no_levels.union(*(strategy.levels for _, strategy in named))
        self.holds_refusals = any(strategy.holds_refusals for _, strategy in named)
        self.shared = any(strategy.shared for _, strategy in named)

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
