"""Several strategies as one."""

from collections.abc import Sequence
from dataclasses import replace

from paceline.admission.live_controls import LiveControls
from paceline.contracts.admission.limit_figures import LimitFigures
from paceline.contracts.admission.strategy import Strategy
from paceline.contracts.admission.work import Failed, Level, Outcome, Permit, Work
from paceline.errors import SettingsError


class StrategyStack(Strategy):
    """Several strategies, with their names, as one; the first is the outermost.

    Permits are acquired from left to right and released in reverse. A task never requests a
    second call permit while it holds one, so stacked strategies cannot deadlock. Each
    strategy receives only work of its own levels. Work that ``controls`` pause waits before it
    asks, and again if it was paused while it waited for a permit.

    Raises:
        SettingsError: more than one strategy limits a rate, or one does and is not the last; or a
            call would wait for money while it holds a permit.
    """

    def __init__(
        self, named: Sequence[tuple[str, Strategy]], controls: LiveControls | None = None
    ) -> None:
        self._controls = controls or LiveControls()
        rated = [name for name, strategy in named if strategy.rate_limited]
        if len(rated) > 1:
            raise SettingsError(
                f"strategy: at most one strategy may limit a rate, got {', '.join(rated)}"
            )
        if rated and rated[0] != named[-1][0]:
            raise SettingsError(f"strategy: {rated[0]} limits a rate and must be the last")
        budgets = [at for at, (_, one) in enumerate(named) if one.budget_limits is not None]
        for name, strategy in named[: budgets[-1]] if budgets else ():
            if "call" in strategy.levels:
                raise SettingsError(
                    f"strategy: {named[budgets[-1]][0]} must stand before {name}, so that no call "
                    "waits for money while it holds a permit"
                )
        self.budget_limits = None if not budgets else named[budgets[0]][1].budget_limits
        self._named = tuple(named)
        no_levels: frozenset[Level] = frozenset()
        self.levels = no_levels.union(*(strategy.levels for _, strategy in named))
        self.holds_refusals = any(strategy.holds_refusals for _, strategy in named)
        self.shared = any(strategy.shared for _, strategy in named)

    async def admit(self, work: Work) -> Permit:
        """Wait for a permit of each strategy that limits the work's level.

        Raises:
            RunPaused: the tenant of the run is paused, or a strategy pauses the run.
        """
        controls, key = self._controls, work.key if work.level == "call" else ""
        while True:
            if controls.now.pauses:
                await controls.until_allowed(work, key)
            permit = await self._admit(work)
            if not controls.now.pauses or controls.pause_of(work, key) is None:
                return permit
            permit.release(Failed())

    async def _admit(self, work: Work) -> Permit:
        permits: list[Permit] = []
        try:
            for _, strategy in self._named:
                if work.level in strategy.levels:
                    permits.append(await strategy.admit(work))
        except BaseException:
            _release_all(permits, Failed())
            raise
        notices = [permit.notice for permit in permits if permit.notice is not None]
        return Permit(
            lambda outcome: _release_all(permits, outcome), notice="; ".join(notices) or None
        )

    def explain(self) -> str:
        """The explanation of each strategy, from outer to inner."""
        lines = ((name, strategy.explain()) for name, strategy in self._named)
        text = " → ".join(f"{name} ({text})" if text else name for name, text in lines)
        # Every tenant may read this, so it names no tenant.
        pauses = [
            pause.describe()
            for pause in self._controls.now.pauses
            if pause.target.scope != "tenant"
        ]
        return "; ".join([*pauses, text])

    def limits_changed(self) -> None:
        """Let each strategy apply changed limits."""
        for _, strategy in self._named:
            strategy.limits_changed()

    def limits(self) -> Sequence[LimitFigures]:
        """The limits of each strategy, from outer to inner, with its name."""
        return [
            replace(one, strategy=name)
            for name, strategy in self._named
            for one in strategy.limits()
        ]

    async def close(self) -> None:
        """Close the strategies, inner first."""
        for _, strategy in reversed(self._named):
            await strategy.close()


def _release_all(permits: Sequence[Permit], outcome: Outcome) -> None:
    for permit in reversed(permits):
        permit.release(outcome)
