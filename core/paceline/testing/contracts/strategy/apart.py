"""Independence of runs, models, levels and strategies."""

import asyncio
import contextlib
import inspect
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from paceline.contracts.admission.work import Done, Failed, Level, Outcome
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.strategy.base import StrategyScenarios


class StrategyApart(StrategyScenarios):
    """State that must not be shared."""

    @when("per")
    def test_runs_and_models_share_no_state(self) -> None:
        """State shared: a full limit of one run or model holds up no other."""

        @self.bounds()
        @given(cancelled=st.booleans())
        def holds(cancelled: bool) -> None:
            async def scenario() -> None:
                strategy = self.worker()
                mine, other = self.work(0, 0), self.work(1, 1)
                held = await self.full(strategy, mine)
                waits = asyncio.create_task(strategy.admit(mine))
                await asyncio.sleep(self.settles)
                if cancelled:
                    waits.cancel()
                why = (
                    f"state shared between runs: {self.group(other)} must wait though only "
                    f"{self.group(mine)} is full; count each `work.{self.per}` separately"
                )
                held += [await self.got(strategy, other, why) for _ in range(self.room())]
                waits.cancel()
                for permit in held:
                    permit.release(Done())

            self.play(scenario())

        holds()

    @scenario
    async def test_declares_what_it_is(self) -> None:
        """`levels`, `shared` and `holds_refusals` match the suite; `explain` is one line."""
        strategy = self.worker()
        assert self.limit is None or self.level in strategy.levels, (
            f"the suite declares that it limits {self.level}s, but its `levels` are "
            f"{sorted(strategy.levels)}"
        )
        assert strategy.shared == self.shared, "`shared` differs from the declaration of the suite"
        assert strategy.holds_refusals == self.holds_refusals, (
            "`holds_refusals` differs from the declaration of the suite"
        )
        permit = await strategy.admit(self.work())
        assert len(strategy.explain().splitlines()) <= 1, "`explain` must return one line"
        permit.release(Done())

    @scenario
    async def test_levels_have_separate_limits(self) -> None:
        """Deadlock: concepts hold permits while their calls wait, so both levels need permits."""
        strategy = self.worker()
        other: Level = "concept" if self.level == "call" else "call"
        if other not in strategy.levels:
            return
        why = (
            f"deadlock: a {other} waits though only {self.level}s hold permits; count each level "
            f"separately, or set `levels` to the levels that are limited"
        )
        held = await self.full(strategy)
        held.append(await self.got(strategy, self.work(level=other), why))
        for permit in held:
            permit.release(Done())
        first = await self.got(strategy, self.work(level=other), why)
        for permit in [first, *await self.full(strategy)]:
            permit.release(Done())

    @scenario
    async def test_a_permit_is_released_from_a_callback(self) -> None:
        """`release` is synchronous: a task cancelled before its start releases in a callback."""
        strategy = self.worker()
        never = asyncio.create_task(asyncio.sleep(0))
        permit = await strategy.admit(self.work())
        release: Callable[[Outcome], object] = permit.release
        returned: list[object] = []
        never.add_done_callback(lambda _: returned.append(release(Failed())))
        never.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await never
        await asyncio.sleep(0)
        assert not any(map(inspect.isawaitable, returned)), "`release` must be synchronous"
        for permit in await self.full(strategy):
            permit.release(Done())

    def test_strategies_are_independent(self) -> None:
        """State shared: two workers with a ledger each have a limit each."""

        async def scenario() -> None:
            first, second = (self.worker() for _ in range(2))
            held = await self.full(first)
            why = "state shared between strategies: keep it in the object, not in a class or module"
            held += [await self.got(second, self.work(), why) for _ in range(self.room())]
            for permit in held:
                permit.release(Done())

        if self.virtual:
            self.play(scenario())
