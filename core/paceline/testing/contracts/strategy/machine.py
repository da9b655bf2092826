"""Workers that ask, release, are cancelled and die in any order, beside a model of the limit."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from paceline.contracts.strategy import Strategy
from paceline.contracts.work import Done, Permit, Work
from paceline.testing.contracts.contract import rounds
from paceline.testing.lease_ledger import LedgerLine

if TYPE_CHECKING:
    from paceline.testing.contracts.strategy.base import StrategyScenarios

WORKERS = 2
which = st.integers(0, 9)
two = st.integers(0, 1)


@dataclass(slots=True)
class _Worker:
    line: LedgerLine
    strategy: Strategy


@dataclass(slots=True, eq=False)
class _Asker:
    """One who asked: it waits until its task is done, then holds a permit."""

    worker: _Worker
    work: Work
    task: "asyncio.Task[Permit]"

    @property
    def holds(self) -> bool:
        return self.task.done() and not self.task.cancelled()


@dataclass(slots=True)
class _Dead:
    """Permits of a worker that died: per group how many, and when."""

    at: float
    groups: list[str] = field(default_factory=list[str])


class Lives(RuleBasedStateMachine):
    """Each step is followed by the time that the strategy takes to settle.

    Args:
        suite: what is promised, and how a strategy is made.
    """

    def __init__(self, suite: "StrategyScenarios") -> None:
        super().__init__()
        self.suite = suite
        self.runner = suite.runner()
        self.opened = AsyncExitStack()
        self.askers: list[_Asker] = []
        self.dead: list[_Dead] = []
        self.ledger = suite.ledger()
        self.opened.push_async_callback(self.ledger.close)
        self.workers = [self.run(self.born()) for _ in range(WORKERS if suite.shared else 1)]

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:
        """Do a step on the loop of this life."""
        return self.runner.run(step)

    async def born(self) -> _Worker:
        """A worker that begins."""
        line = LedgerLine(self.ledger)
        return _Worker(line, self.suite.strategy(line))

    async def settle(self) -> None:
        """Let happen what must happen by itself."""
        await asyncio.sleep(self.suite.settles)

    def now(self) -> float:
        """The time of the loop."""
        return self.runner.get_loop().time()

    # -- steps -----------------------------------------------------------------------------

    @rule(worker=two, run=two, model=two)
    def ask(self, worker: int, run: int, model: int) -> None:
        """Somebody asks."""

        async def step() -> None:
            chosen = self.workers[worker % len(self.workers)]
            work = self.suite.work(run, model)
            task = asyncio.create_task(chosen.strategy.admit(work))
            self.askers.append(_Asker(chosen, work, task))
            await self.settle()

        self.run(step())

    @precondition(lambda self: any(asker.holds for asker in self.askers))
    @rule(one=which, twice=st.booleans())
    def release(self, one: int, twice: bool) -> None:
        """Somebody has done its work."""

        async def step() -> None:
            permit = self.leaves(self.chosen(one, holding=True)).task.result()
            permit.release(Done())
            if twice:
                permit.release(Done())
            await self.settle()

        self.run(step())

    @precondition(lambda self: any(not asker.holds for asker in self.askers))
    @rule(one=which)
    def cancel(self, one: int) -> None:
        """Somebody waits no longer."""

        async def step() -> None:
            await self.suite.cancelled(self.leaves(self.chosen(one, holding=False)).task)
            await self.settle()

        self.run(step())

    @precondition(lambda self: len({asker.holds for asker in self.askers}) > 1)
    @rule(holder=which, waiter=which, then=st.integers(0, 4))
    def release_and_cancel(self, holder: int, waiter: int, then: int) -> None:
        """Somebody leaves, and so many rounds of the loop later a waiter is cancelled."""

        async def step() -> None:
            gone = self.chosen(waiter, holding=False)
            self.leaves(self.chosen(holder, holding=True)).task.result().release(Done())
            await rounds(then)
            self.leaves(gone)
            await self.suite.cancelled(gone.task)
            await self.settle()
            if gone.holds:  # it was admitted before
                gone.task.result().release(Done())
                await self.settle()

        self.run(step())

    @precondition(lambda self: self.suite.shared)
    @rule(worker=two)
    def crash(self, worker: int) -> None:
        """A worker dies with all its permits and waiters; another one begins."""

        async def step() -> None:
            dies = self.workers[worker]
            dies.line.cut()
            mine = [asker for asker in self.askers if asker.worker is dies]
            held = [self.suite.group(asker.work) for asker in mine if asker.holds]
            self.dead.append(_Dead(self.now(), held))
            for asker in mine:
                asker.task.cancel()
                self.leaves(asker)
            self.workers[worker] = await self.born()
            await self.settle()

        self.run(step())

    @precondition(lambda self: self.suite.shared)
    @rule(part=st.sampled_from([0.4, 1.1]))
    def wait(self, part: float) -> None:
        """Time passes, in lease times."""
        self.run(asyncio.sleep(part * self.ledger.lease_seconds))

    def leaves(self, asker: _Asker) -> _Asker:
        """It is no longer among those who asked."""
        self.askers.remove(asker)
        return asker

    def chosen(self, number: int, *, holding: bool) -> _Asker:
        """One of those who hold a permit, or wait for one."""
        among = [asker for asker in self.askers if asker.holds is holding]
        return among[number % len(among)]

    # -- what must hold after each ---------------------------------------------------------

    @invariant()
    def promises_hold(self) -> None:
        """What must be true at any time."""
        self.nobody_failed()
        self.no_more_out_than_the_limit()
        self.nobody_waits_while_there_is_room()

    def nobody_failed(self) -> None:
        """`admit` raises nothing."""
        for asker in self.askers:
            if asker.holds:
                asker.task.result()

    def no_more_out_than_the_limit(self) -> None:
        """Permits of the dead count until their lease can have ended."""
        lease = self.ledger.lease_seconds
        for group in self.groups():
            out = self.out(group)
            dead = sum(
                one.groups.count(group) for one in self.dead if self.now() < one.at + lease / 2
            )
            limit = self.suite.limit
            assert limit is None or out + dead <= limit, (
                f"overrun: {out + dead} permits of {group} are out, {dead} of them of dead "
                f"workers, but `limit = {limit}`"
            )

    def nobody_waits_while_there_is_room(self) -> None:
        """Work goes on as soon as it may."""
        lease = self.ledger.lease_seconds + 2 * self.suite.settles
        if any(self.now() < one.at + lease for one in self.dead):
            return
        for group in self.groups():
            out = self.out(group)
            waiting = sum(
                not one.holds for one in self.askers if self.suite.group(one.work) == group
            )
            room = self.suite.least or self.suite.limit
            assert not waiting or (room is not None and out >= room), (
                f"starving waiter: {waiting} wait for {group} though only {out} of "
                f"{room} permits are out: a wake-up or a permit was lost"
            )

    def groups(self) -> set[str]:
        """What the limit counts for apart."""
        return {self.suite.group(self.suite.work(run, model)) for run in (0, 1) for model in (0, 1)}

    def out(self, group: str) -> int:
        """How many permits of a group are out."""
        return sum(one.holds for one in self.askers if self.suite.group(one.work) == group)

    def teardown(self) -> None:
        """When all have gone, every permit can be had again."""

        async def end() -> None:
            waiting = [asker.task for asker in self.askers if not asker.holds]
            for asker in self.askers:
                if asker.holds:
                    asker.task.result().release(Done())
            await self.suite.cancelled(*waiting)
            if self.dead:
                await asyncio.sleep(self.ledger.lease_seconds + self.suite.settles)
            await self.settle()
            for group in sorted(self.groups()):
                await self.empty(group)
            for worker in self.workers:
                await worker.strategy.close()

        try:
            self.run(end())
        finally:
            self.run(self.opened.aclose())
            self.suite.abandon(self.runner)

    async def empty(self, group: str) -> None:
        """A group of which no permit is out."""
        works = [self.suite.work(run, model) for run in (0, 1) for model in (0, 1)]
        work = next(one for one in works if self.suite.group(one) == group)
        again: list[Permit] = []
        for number in range(self.suite.room()):
            why = (
                f"leak: all have gone, but only {number} of {self.suite.room()} permits of "
                f"{group} can be had again"
            )
            again.append(await self.suite.got(self.workers[0].strategy, work, why))
        for permit in again:
            permit.release(Done())
