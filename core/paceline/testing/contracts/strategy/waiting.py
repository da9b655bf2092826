"""Waiters: cancelling one leaks nothing, and each is woken and served in the end."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from paceline.contracts.admission.work import Done, Failed, Permit
from paceline.testing.contracts.contract import rounds, when
from paceline.testing.contracts.strategy.base import StrategyScenarios


class StrategyWaiting(StrategyScenarios):
    """Waiters of one process."""

    @when("limit")
    def test_cancelling_leaks_nothing(self) -> None:
        """Leak on cancel: whenever a waiter is cancelled, its permit is free again."""

        @self.bounds()
        @given(released_first=st.booleans(), then=st.integers(0, 6), seed=st.integers(0, 7))
        def holds(released_first: bool, then: int, seed: int) -> None:
            self.play(self._cancelled(then, released_first=released_first), seed=seed)

        holds()

    async def _cancelled(self, then: int, *, released_first: bool) -> None:
        strategy = self.worker()
        held = await self.full(strategy)
        # More than the limit, so that a permit may pass on to another cancelled waiter.
        cancelled = [asyncio.create_task(strategy.admit(self.work())) for _ in range(2 * len(held))]
        await asyncio.sleep(self.settles)
        if released_first:  # it is served at the moment of its cancellation
            for permit in held:
                permit.release(Done())
            await rounds(then)
        await self.cancelled(*cancelled)
        for task in cancelled:
            if not task.cancelled():
                task.result().release(Failed())
        for permit in held:
            permit.release(Done())
        again: list[Permit] = []
        for number in range(self.room()):
            moment = f"{then} rounds of the loop after a release" if released_first else "in a wait"
            why = (
                f"leak on cancel: after `admit` was cancelled {moment}, only {number} of "
                f"{self.room()} permits are free again; on CancelledError release the permit that "
                "the waiter was granted"
            )
            again.append(await self.got(strategy, self.work(), why))
        for permit in again:
            permit.release(Done())

    @when("limit")
    def test_a_cancelled_waiter_passes_its_wake_up_on(self) -> None:
        """Lost wake-up: a waiter cancelled when it is served wakes the next."""

        @self.bounds()
        @given(then=st.integers(0, 6), seed=st.integers(0, 7))
        def holds(then: int, seed: int) -> None:
            async def scenario() -> None:
                strategy = self.worker()
                held = await self.full(strategy)
                first: asyncio.Task[Permit] | None = None
                if self.least is None:
                    first = await self.waiting(strategy)
                next_in_line: asyncio.Task[Permit] = asyncio.create_task(
                    strategy.admit(self.work())
                )
                await asyncio.sleep(self.settles)
                held.pop(0).release(Done())
                await rounds(then)
                if first is not None:
                    await self.cancelled(first)
                    if not first.cancelled():
                        first.result().release(Done())
                await asyncio.wait({next_in_line}, timeout=self.settles)
                woken = next_in_line.done()
                await self.cancelled(next_in_line)
                if woken:
                    next_in_line.result().release(Done())
                for permit in held:
                    permit.release(Done())
                assert woken, (
                    f"lost wake-up: a waiter cancelled {then} rounds of the loop after a release "
                    "took the wake-up with it, and the next one waits though a permit is free; on "
                    "CancelledError wake the next waiter"
                )

            self.play(scenario(), seed=seed)

        holds()

    @when("limit")
    def test_every_waiter_is_served(self) -> None:
        """Starving waiter: each is admitted while others come and leave."""

        @self.bounds()
        @given(waiters=st.integers(1, 4), stay=st.integers(1, 3))
        def holds(waiters: int, stay: int) -> None:
            async def scenario() -> None:
                strategy = self.worker()

                busy_hours = True

                async def comes_and_goes() -> None:
                    while busy_hours:
                        permit = await strategy.admit(self.work())
                        await asyncio.sleep(stay * self.settles)
                        permit.release(Done())

                busy = [asyncio.create_task(comes_and_goes()) for _ in range(self.room())]
                await asyncio.sleep(self.settles / 2)
                waits = [asyncio.create_task(strategy.admit(self.work())) for _ in range(waiters)]
                await asyncio.sleep(self.settles / 4)
                # One more than the limit, so that a later waiter always competes for a free permit.
                busy.append(asyncio.create_task(comes_and_goes()))
                for _ in range(4 * (waiters + self.room() + 2)):
                    await asyncio.sleep(stay * self.settles)
                    for task in waits:
                        if task.done():
                            task.result().release(Done())
                    if all(task.done() for task in waits):
                        break
                starving = sum(not one.done() for one in waits)
                busy_hours = False
                await self.cancelled(*busy, *waits)
                assert not starving, (
                    f"starving waiter: {starving} of {waiters} were never admitted while "
                    f"{self.room() + 1} others came and left; later waiters must not always be "
                    "served first"
                )

            self.play(scenario())

        holds()

    @when("fair")
    def test_first_come_first_served(self) -> None:
        """In one process, waiters are served in their order, and no other task overtakes them."""

        @self.bounds()
        @given(waiters=st.integers(2, 5), late=st.integers(0, 3))
        def holds(waiters: int, late: int) -> None:
            async def scenario() -> list[int]:
                strategy = self.worker()
                held = await self.full(strategy)
                order: list[int] = []

                async def come(number: int) -> None:
                    permit = await strategy.admit(self.work())
                    order.append(number)
                    await asyncio.sleep(self.settles)
                    permit.release(Done())

                tasks = [asyncio.create_task(come(number)) for number in range(waiters)]
                await asyncio.sleep(self.settles)
                held.pop(0).release(Done())
                await rounds(late)  # a waiter was served and may not have run yet
                tasks.append(asyncio.create_task(come(waiters)))
                for permit in held:
                    permit.release(Done())
                await asyncio.gather(*tasks)
                return order

            order = self.play(scenario())
            assert order == sorted(order), (
                f"out of turn: waiters 0…{waiters} were served in the order {order}; "
                "set `fair = False` if this is intended"
            )

        holds()
