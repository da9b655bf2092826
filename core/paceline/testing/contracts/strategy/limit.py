"""The limit: never exceeded, fully used, and free again after any outcome."""

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from paceline.contracts.admission.work import Done, Outcome, RateLimited
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.strategy.base import OUTCOMES, StrategyScenarios


class StrategyLimit(StrategyScenarios):
    """Permits, in one process."""

    @scenario
    async def test_admits_up_to_the_limit_at_once(self) -> None:
        """Work within the limit does not wait."""
        strategy = self.worker()
        for permit in await self.full(strategy):
            permit.release(Done())

    @when("limit")
    def test_never_more_out_than_the_limit(self) -> None:
        """Overrun: however many arrive and leave at once, the limit holds."""

        @self.bounds()
        @given(stays=st.lists(st.integers(0, 2), min_size=1, max_size=8), seed=st.integers(0, 7))
        def holds(stays: list[int], seed: int) -> None:
            self.play(self._crowd(stays), seed=seed)

        holds()

    async def _crowd(self, stays: Sequence[int]) -> None:
        strategy = self.worker()
        inside = 0

        async def visit(stay: int) -> None:
            nonlocal inside
            permit = await strategy.admit(self.work())
            inside += 1
            most = inside
            await asyncio.sleep(stay * self.settles)
            inside -= 1
            permit.release(Done())
            assert self.limit is not None
            assert most <= self.limit, (
                f"overrun: {most} permits were out at once, but `limit = {self.limit}`; count a "
                "permit before `admit` awaits anything, and check the limit again after each await"
            )

        async with asyncio.TaskGroup() as visitors:
            for stay in stays:
                visitors.create_task(visit(stay))

    @when("limit")
    def test_each_release_admits_one(self) -> None:
        """A released permit is free for the next waiter, whatever the outcome."""

        @self.bounds()
        @given(outcome=st.sampled_from(OUTCOMES if self.least is None else OUTCOMES[:1]))
        def holds(outcome: Outcome) -> None:
            async def scenario() -> None:
                strategy = self.worker()
                held = await self.full(strategy)
                pause = 0.0
                if self.holds_refusals and isinstance(outcome, RateLimited):
                    pause = outcome.retry_after or 0.0
                for _ in range(3):
                    held.pop(0).release(outcome)
                    why = f"lost permit: released with {outcome!r}, it is not free again"
                    held.append(await self.got(strategy, self.work(), why, after=pause))
                for permit in held:
                    permit.release(Done())

            self.play(scenario())

        holds()

    @when("holds_refusals")
    @scenario
    async def test_a_refusal_holds_back_all_calls(self) -> None:
        """Stampede: after a refusal no call starts before the time that the provider named."""
        strategy = self.worker()
        loop = asyncio.get_running_loop()
        permit = await strategy.admit(self.work())
        asked, refused = 2 * self.settles, loop.time()
        permit.release(RateLimited(asked))
        await asyncio.sleep(self.settles / 2)
        permit = await self.got(
            strategy, self.work(), "no call is admitted after the pause", after=asked
        )
        assert loop.time() - refused > 0.99 * asked, (
            f"stampede: a call started {loop.time() - refused:.1f} s after a refusal that "
            f"asked for {asked:g} s; `holds_refusals` declares that it holds back all calls"
        )
        permit.release(Done())

    @when("limit")
    def test_releasing_twice_frees_one_permit(self) -> None:
        """Double release: a permit may be released again, with another outcome."""

        @self.bounds()
        @given(times=st.integers(2, 3), second=st.sampled_from(OUTCOMES))
        def holds(times: int, second: Outcome) -> None:
            async def scenario() -> None:
                strategy = self.worker()
                held = [await strategy.admit(self.work()) for _ in range(self.limit or 0)]
                waits = [asyncio.create_task(strategy.admit(self.work())) for _ in range(3)]
                await asyncio.sleep(self.settles)
                first = held.pop(0)
                first.release(Done())
                for _ in range(times - 1):
                    first.release(second)
                await asyncio.sleep(self.settles)
                admitted = sum(task.done() for task in waits)
                await self.cancelled(*waits)
                assert admitted <= 1, (
                    f"double release: one permit released {times} times let {admitted} in; "
                    "only the first release of a permit may free it"
                )

            self.play(scenario())

        holds()
