"""What is apart stays apart: runs, models, levels, and strategies beside each other."""

import asyncio
import contextlib
import inspect
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from paceline.contracts.work import Done, Failed, Level, Outcome
from paceline.testing.contracts.contract import when
from paceline.testing.contracts.strategy.base import StrategyScenarios


class StrategyApart(StrategyScenarios):
    """State that must not be shared."""

    @when("per")
    def test_runs_and_models_share_no_state(self) -> None:
        """State shared: who fills the limit of one holds up no other, cancelled or not."""

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
                    f"state shared between runs: {self.group(other)} has to wait though only "
                    f"{self.group(mine)} is full; keep what is counted apart for each "
                    f"`work.{self.per}`"
                )
                held += [await self.got(strategy, other, why) for _ in range(self.room())]
                waits.cancel()
                for permit in held:
                    permit.release(Done())

            self.play(scenario())

        holds()

    def test_says_what_it_is(self) -> None:
        """`levels` and `shared` are true to what is declared here; `explain` is one line."""

        async def scenario() -> None:
            strategy = self.worker()
            assert self.limit is None or self.level in strategy.levels, (
                f"it limits {self.level}s here, but its `levels` are {sorted(strategy.levels)}"
            )
            assert strategy.shared == self.shared, "`shared` differs from what the suite declares"
            assert strategy.holds_refusals == self.holds_refusals, (
                "`holds_refusals` differs from what the suite declares"
            )
            permit = await strategy.admit(self.work())
            assert len(strategy.explain().splitlines()) <= 1, "`explain` is for one line of status"
            permit.release(Done())

        self.play(scenario())

    def test_work_of_another_level_passes_at_once(self) -> None:
        """What it does not govern takes no permit of it and waits for none."""

        async def scenario() -> None:
            strategy = self.worker()
            others: tuple[Level, ...] = ("concept", "call")
            for level in others:
                if level in strategy.levels:
                    continue
                why = (
                    f"held up: a {level} waits, but `levels` are {sorted(strategy.levels)}; return "
                    "`Permit()` at once where `work.level not in self.levels`"
                )
                work = self.work(level=level)
                # More than the limit, before and while all permits are out.
                passed = [await self.got(strategy, work, why) for _ in range(self.room() + 1)]
                held = await self.full(strategy)
                passed.append(await self.got(strategy, work, why))
                for permit in passed:
                    permit.release(Done())
                for permit in held:
                    permit.release(Done())

        self.play(scenario())

    def test_a_permit_is_released_from_a_callback(self) -> None:
        """Releasing is synchronous: tasks cancelled before they began are released so."""

        async def scenario() -> None:
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

        self.play(scenario())

    def test_strategies_know_nothing_of_each_other(self) -> None:
        """State shared: two workers, with a ledger each, have a limit each."""

        async def scenario() -> None:
            first, second = (self.worker() for _ in range(2))
            held = await self.full(first)
            why = "state shared between strategies: keep it in the object, not in class or module"
            held += [await self.got(second, self.work(), why) for _ in range(self.room())]
            for permit in held:
                permit.release(Done())

        if self.virtual:
            self.play(scenario())
