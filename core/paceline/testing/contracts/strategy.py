"""What every strategy promises: nothing leaks, nothing overruns, nobody starves."""

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Sequence
from typing import ClassVar, cast

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from paceline.ledger import Ledger
from paceline.strategy import Strategy
from paceline.testing.contracts.contract import Contract, rounds, when
from paceline.testing.contracts.strategy_machine import Lives
from paceline.testing.lease_ledger import LeaseLedger, LedgerLine
from paceline.work import Done, Failed, Level, Outcome, Permit, Refused, Work

OUTCOMES: tuple[Outcome, ...] = (Done(tokens=10, seconds=1.0), Refused(1.0), Failed())


class StrategyContract(Contract):
    """Inherit it, say what your strategy limits, and make one.

    Declare:
        limit: most permits out at once; make the strategy with a small one, as 2, so that
            examples stay small. ``None``: it limits nothing.
        least: fewest permits that an adaptive limit falls to, from ``limit``, where it is to
            begin; ``None``: it stays there.
        level: the level that it limits.
        per: the field of `Work` for each of whose values the limit counts apart, as
            ``run_id``; empty: it counts all work together.
        fair: whether those of one process are served in the order in which they came.
        shared: whether the limit holds over all workers, by the ledger.
        settles: seconds within which what is free reaches who waits.
        holds_refusals: whether a refused call holds back all calls to its model for as long
            as the provider asked.
    """

    limit: ClassVar[int | None] = None
    least: ClassVar[int | None] = None
    level: ClassVar[Level] = "call"
    per: ClassVar[str] = ""
    fair: ClassVar[bool] = True
    shared: ClassVar[bool] = False
    settles: ClassVar[float] = 1.0
    holds_refusals: ClassVar[bool] = False

    def strategy(self, ledger: Ledger) -> Strategy:
        """Make your strategy, as a new worker process would; called on the event loop.

        Args:
            ledger: what the workers share.
        """
        raise NotImplementedError(f"{type(self).__name__}.strategy() makes the strategy to test")

    def ledger(self) -> Ledger:
        """Make the ledger that the workers of one scenario share."""
        return LeaseLedger()

    # -- words of the suite ----------------------------------------------------------------

    def between_workers(self) -> Ledger:
        """A ledger that is closed when the scenario is over."""
        ledger = self.ledger()
        self.opened.push_async_callback(ledger.close)
        return ledger

    def worker(self, ledger: Ledger | None = None) -> Strategy:
        """The strategy of one worker, closed when the scenario is over."""
        strategy = self.strategy(ledger or self.between_workers())
        self.opened.push_async_callback(strategy.close)
        return strategy

    def room(self) -> int:
        """How many permits can surely be out at once."""
        return 8 if self.limit is None else self.least or self.limit

    def work(self, run: int = 0, model: int = 0, *, level: Level | None = None) -> Work:
        """Some work of one of the runs, for one of the models."""
        level = level or self.level
        call = level == "call"
        return Work(
            level=level,
            run_id=f"run-{run}",
            roadmap_id=f"roadmap-{run}",
            concept_id="concept",
            key=f"provider:model-{model}",
            step="tutorial" if call else None,
            tokens=100 if call else 0,
        )

    def group(self, work: Work) -> str:
        """What the limit counts this work for."""
        return str(getattr(work, self.per)) if self.per else "all work"

    async def got(self, strategy: Strategy, work: Work, why: str, *, after: float = 0.0) -> Permit:
        """A permit that must come within the time that the strategy takes to settle.

        Args:
            strategy: who admits.
            work: what wants to start.
            why: what it means if it does not.
            after: seconds that it may take longer.
        """
        try:
            async with asyncio.timeout(after + self.settles):
                return await strategy.admit(work)
        except TimeoutError:
            raise AssertionError(why) from None

    async def cancelled(self, *waits: "asyncio.Task[Permit] | asyncio.Task[None]") -> None:
        """Cancel who waits: it must go at once, with a permit that it got or with nothing."""
        for task in waits:
            task.cancel()
        waiting = (await asyncio.wait(waits, timeout=self.settles))[1] if waits else set[object]()
        assert not waiting, (
            "cancelled in vain: `admit` was cancelled and waits on; let CancelledError out"
        )
        for task in waits:
            error = None if task.cancelled() else task.exception()
            assert error is None, (
                f"fault on cancel: `admit` was cancelled and raised {error!r}; give back what the "
                "wait was granted, wake the next, and let CancelledError out"
            )

    async def full(self, strategy: Strategy, work: Work | None = None) -> list[Permit]:
        """All permits that can be out at once, and surely so many as there is room for."""
        wanted = work or self.work()
        held = [
            await self.got(
                strategy, wanted, f"only {number} of {self.room()} permits can be out at once"
            )
            for number in range(self.room())
        ]
        if self.limit is not None and self.least is not None:
            with contextlib.suppress(TimeoutError):
                while len(held) < self.limit:
                    async with asyncio.timeout(self.settles):
                        held.append(await strategy.admit(wanted))
        return held

    async def waiting(self, strategy: Strategy, work: Work | None = None) -> "asyncio.Task[Permit]":
        """Somebody who asks while the strategy is full, and waits."""
        task = asyncio.create_task(strategy.admit(work or self.work()))
        await asyncio.sleep(self.settles)
        assert not task.done(), (
            f"overrun: one more permit came out where {self.limit} are out and "
            f"`limit = {self.limit}`; count a permit before `admit` awaits anything, and ask "
            "again after each await"
        )
        return task

    # -- one process -----------------------------------------------------------------------

    def test_admits_as_many_as_it_may_at_once(self) -> None:
        """Work that fits need not wait."""

        async def scenario() -> None:
            strategy = self.worker()
            for permit in await self.full(strategy):
                permit.release(Done())

        self.play(scenario())

    @when("limit")
    def test_never_more_out_than_the_limit(self) -> None:
        """Overrun: whoever comes together, and whenever they go, no more are in."""

        @self.bounds()
        @given(
            stays=st.lists(st.integers(0, 2), min_size=1, max_size=8),
            seed=st.integers(0, 7),
        )
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
                "permit before `admit` awaits anything, and ask again after each await"
            )

        async with asyncio.TaskGroup() as everybody:
            for stay in stays:
                everybody.create_task(visit(stay))

    @when("limit")
    def test_each_release_lets_one_in(self) -> None:
        """A permit given back is free for the next, whatever came of the work."""

        @self.bounds()
        @given(outcome=st.sampled_from(OUTCOMES if self.least is None else OUTCOMES[:1]))
        def holds(outcome: Outcome) -> None:
            async def scenario() -> None:
                strategy = self.worker()
                held = await self.full(strategy)
                pause = 0.0
                if self.holds_refusals and isinstance(outcome, Refused):
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
    def test_a_refusal_holds_back_everybody(self) -> None:
        """Stampede: after a refusal nobody asks the provider before the time it named."""

        async def scenario() -> None:
            strategy = self.worker()
            loop = asyncio.get_running_loop()
            permit = await strategy.admit(self.work())
            asked, refused = 2 * self.settles, loop.time()
            permit.release(Refused(asked))
            await asyncio.sleep(self.settles / 2)
            permit = await self.got(strategy, self.work(), "held back for ever", after=asked)
            assert loop.time() - refused > 0.99 * asked, (
                f"stampede: a call started {loop.time() - refused:.1f} s after a refusal that "
                f"asked for {asked:g} s; `holds_refusals` says that yours waits for all"
            )
            permit.release(Done())

        self.play(scenario())

    @when("limit")
    def test_releasing_twice_gives_back_once(self) -> None:
        """Double release: the spawner may release again, with another outcome."""

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
                    "only the first release of a permit may give it back"
                )

            self.play(scenario())

        holds()

    @when("limit")
    def test_cancelling_leaks_nothing(self) -> None:
        """Leak on cancel: at whatever moment a wait is cancelled, its permit comes back."""

        @self.bounds()
        @given(
            released_first=st.booleans(),
            then=st.integers(0, 6),
            seed=st.integers(0, 7),
        )
        def holds(released_first: bool, then: int, seed: int) -> None:
            self.play(self._cancelled(then, released_first=released_first), seed=seed)

        holds()

    async def _cancelled(self, then: int, *, released_first: bool) -> None:
        strategy = self.worker()
        held = await self.full(strategy)
        # More than there is room for: a turn may pass on to somebody who goes as well.
        cancelled = [asyncio.create_task(strategy.admit(self.work())) for _ in range(2 * len(held))]
        await asyncio.sleep(self.settles)
        if released_first:  # its turn comes in the moment in which it is cancelled
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
                f"{self.room()} permits can be had again; on CancelledError give back what "
                "the wait was granted"
            )
            again.append(await self.got(strategy, self.work(), why))
        for permit in again:
            permit.release(Done())

    @when("limit")
    def test_a_wake_up_is_not_lost_with_who_it_went_to(self) -> None:
        """Lost wake-up: who is cancelled in its turn passes the turn on."""

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
                    "took the wake-up with it, and the next one waits though there is room; on "
                    "CancelledError wake the next"
                )

            self.play(scenario(), seed=seed)

        holds()

    @when("limit")
    def test_nobody_starves(self) -> None:
        """Starving waiter: everybody who waits is admitted while others come and go."""

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
                # One more than fit: somebody who came later always wants what becomes free.
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
                    f"{self.room() + 1} others came and went; whoever comes later must not be "
                    "served first for ever"
                )

            self.play(scenario())

        holds()

    @when("fair")
    def test_who_comes_first_is_served_first(self) -> None:
        """In one process, waiters are served in their order, and nobody slips in between."""

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
                await rounds(late)  # somebody was served and may not have run yet
                tasks.append(asyncio.create_task(come(waiters)))
                for permit in held:
                    permit.release(Done())
                await asyncio.gather(*tasks)
                return order

            order = self.play(scenario())
            assert order == sorted(order), (
                f"out of turn: those who came in the order 0…{waiters} were served as {order}; "
                "set `fair = False` if that is meant"
            )

        holds()

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

    # -- all workers -----------------------------------------------------------------------

    @when("shared")
    def test_all_workers_together_keep_the_limit(self) -> None:
        """Overrun: a second worker finds what the first one left."""

        async def scenario() -> None:
            ledger = self.between_workers()
            first, second = self.worker(ledger), self.worker(ledger)
            held = await self.full(first)
            waits = await self.waiting(second)
            held.pop().release(Done())
            async with asyncio.timeout(self.settles):
                held.append(await waits)
            for permit in held:
                permit.release(Done())

        self.play(scenario())

    @when("shared")
    def test_a_dead_workers_permits_come_back(self) -> None:
        """Permits of a worker that died are free when its leases have ended, not before."""

        async def scenario() -> None:
            ledger = self.between_workers()
            line = LedgerLine(ledger)
            dead, alive = self.strategy(line), self.worker(ledger)
            await self.full(dead)
            line.cut()
            waits = await self.waiting(alive)
            await asyncio.sleep(ledger.lease_seconds)
            await asyncio.wait({waits}, timeout=self.settles)
            assert waits.done(), (
                f"a dead worker keeps its permits: {ledger.lease_seconds:g} s after it fell "
                "silent they are not free; hold them as leases of `context.ledger()`"
            )
            waits.result().release(Done())

        self.play(scenario())

    @when("shared")
    def test_permits_live_on_while_their_worker_does(self) -> None:
        """Overrun: leases are renewed as long as their permits are out."""

        async def scenario() -> None:
            ledger = self.between_workers()
            first, second = self.worker(ledger), self.worker(ledger)
            held = await self.full(first)
            await asyncio.sleep(3 * ledger.lease_seconds)
            waits = await self.waiting(second)
            waits.cancel()
            for permit in held:
                permit.release(Done())

        self.play(scenario())

    @when("shared")
    def test_closing_gives_everything_back_at_once(self) -> None:
        """A worker that ends in order leaves nothing to wait for."""

        async def scenario() -> None:
            ledger = self.between_workers()
            first, second = self.strategy(ledger), self.worker(ledger)
            await self.full(first)
            await first.close()
            for permit in await self.full(second):
                permit.release(Done())

        self.play(scenario())

    # -- in any order ----------------------------------------------------------------------

    def test_any_order_of_events_keeps_the_promises(self) -> None:
        """Ask, release, cancel, crash, wait, in any order and at the same moment."""
        run_state_machine_as_test(
            cast("type[Lives]", lambda: Lives(self)),
            settings=self.bounds(steps=15 if self.virtual else 6),
        )
