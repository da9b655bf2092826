"""Workers that admit, release, cancel and die in any order, compared with a model."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from paceline.contracts.admission.strategy import Strategy
from paceline.contracts.admission.work import Done, Permit, Work
from paceline.testing.contracts.contract import rounds
from paceline.testing.contracts.strategy.base import StrategyScenarios
from paceline.testing.lease_ledger import LedgerConnection

WORKERS = 2
which = st.integers(0, 9)
two = st.integers(0, 1)


@dataclass(slots=True)
class _Worker:
    connection: LedgerConnection
    strategy: Strategy


@dataclass(slots=True, eq=False)
class _Caller:
    """A caller of ``admit``: it waits until its task is done, then holds a permit."""

    worker: _Worker
    work: Work
    task: "asyncio.Task[Permit]"

    @property
    def holds(self) -> bool:
        return self.task.done() and not self.task.cancelled()


@dataclass(slots=True)
class _Dead:
    """A dead worker: the time of its death, and the groups of its permits."""

    at: float
    groups: list[str] = field(default_factory=list[str])


class Lives(RuleBasedStateMachine):
    """After each step, the strategy has time to settle."""

    def __init__(self, suite: StrategyScenarios) -> None:
        super().__init__()
        self.suite = suite
        self.runner = suite.runner()
        self.opened = AsyncExitStack()
        self.callers: list[_Caller] = []
        self.dead: list[_Dead] = []
        self.ledger = suite.ledger()
        self.opened.push_async_callback(self.ledger.close)
        self.workers = [self.run(self.new_worker()) for _ in range(WORKERS if suite.shared else 1)]

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:
        """Run a step on the loop of this example."""
        return self.runner.run(step)

    async def new_worker(self) -> _Worker:
        """Start a worker."""
        connection = LedgerConnection(self.ledger)
        return _Worker(connection, self.suite.strategy(connection))

    async def settle(self) -> None:
        """Wait until the strategy has settled."""
        await asyncio.sleep(self.suite.settles)

    def now(self) -> float:
        """The time of the loop."""
        return self.runner.get_loop().time()

    # -- steps -----------------------------------------------------------------------------

    @rule(worker=two, run=two, model=two)
    def admit(self, worker: int, run: int, model: int) -> None:
        """A caller asks for a permit."""

        async def step() -> None:
            chosen = self.workers[worker % len(self.workers)]
            work = self.suite.work(run, model)
            task = asyncio.create_task(chosen.strategy.admit(work))
            self.callers.append(_Caller(chosen, work, task))
            await self.settle()

        self.run(step())

    @rule(run=two, model=two)
    def admit_a_crowd(self, run: int, model: int) -> None:
        """More callers ask for the same than the limit allows, which random steps rarely do."""
        for number in range(self.suite.room() + 1):
            self.admit(number, run, model)

    @precondition(lambda self: any(caller.holds for caller in self.callers))
    @rule(one=which, twice=st.booleans())
    def release(self, one: int, twice: bool) -> None:
        """A caller releases its permit."""

        async def step() -> None:
            permit = self.remove(self.chosen(one, holding=True)).task.result()
            permit.release(Done())
            if twice:
                permit.release(Done())
            await self.settle()

        self.run(step())

    @precondition(lambda self: any(not caller.holds for caller in self.callers))
    @rule(one=which)
    def cancel(self, one: int) -> None:
        """A waiting caller is cancelled."""

        async def step() -> None:
            await self.suite.cancelled(self.remove(self.chosen(one, holding=False)).task)
            await self.settle()

        self.run(step())

    @precondition(lambda self: len({caller.holds for caller in self.callers}) > 1)
    @rule(holder=which, waiter=which, then=st.integers(0, 4))
    def release_and_cancel(self, holder: int, waiter: int, then: int) -> None:
        """A permit is released, and some rounds of the loop later a waiter is cancelled."""

        async def step() -> None:
            gone = self.chosen(waiter, holding=False)
            self.remove(self.chosen(holder, holding=True)).task.result().release(Done())
            await rounds(then)
            self.remove(gone)
            await self.suite.cancelled(gone.task)
            await self.settle()
            if gone.holds:  # it was admitted before
                gone.task.result().release(Done())
                await self.settle()

        self.run(step())

    @precondition(lambda self: self.suite.shared)
    @rule(worker=two)
    def crash(self, worker: int) -> None:
        """A worker dies with all its permits and waiters; a new one starts."""

        async def step() -> None:
            dies = self.workers[worker]
            dies.connection.cut()
            mine = [caller for caller in self.callers if caller.worker is dies]
            held = [self.suite.group(caller.work) for caller in mine if caller.holds]
            self.dead.append(_Dead(self.now(), held))
            for caller in mine:
                caller.task.cancel()
                self.remove(caller)
            self.workers[worker] = await self.new_worker()
            await self.settle()

        self.run(step())

    @precondition(lambda self: self.suite.shared)
    @rule(part=st.sampled_from([0.4, 1.1]))
    def wait(self, part: float) -> None:
        """Time passes: this part of the lease time."""
        self.run(asyncio.sleep(part * self.ledger.lease_seconds))

    def remove(self, caller: _Caller) -> _Caller:
        """Remove a caller from the model."""
        self.callers.remove(caller)
        return caller

    def chosen(self, number: int, *, holding: bool) -> _Caller:
        """One of the callers that hold a permit, or that wait for one."""
        among = [caller for caller in self.callers if caller.holds is holding]
        return among[number % len(among)]

    # -- checks after each step ---------------------------------------------------------

    @invariant()
    def promises_hold(self) -> None:
        """Check all promises."""
        self.no_caller_failed()
        self.no_more_out_than_the_limit()
        self.no_caller_waits_for_a_free_permit()

    def no_caller_failed(self) -> None:
        """`admit` raises no error."""
        for caller in self.callers:
            if caller.holds:
                caller.task.result()

    def no_more_out_than_the_limit(self) -> None:
        """The limit holds. Permits of dead workers count until their leases can have expired."""
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

    def no_caller_waits_for_a_free_permit(self) -> None:
        """Each free permit goes to a waiter."""
        lease = self.ledger.lease_seconds + 2 * self.suite.settles
        if any(self.now() < one.at + lease for one in self.dead):
            return
        for group in self.groups():
            out = self.out(group)
            waiting = sum(
                not one.holds for one in self.callers if self.suite.group(one.work) == group
            )
            room = self.suite.least or self.suite.limit
            assert not waiting or (room is not None and out >= room), (
                f"starving waiter: {waiting} wait for {group} though only {out} of "
                f"{room} permits are out: a wake-up or a permit was lost"
            )

    def groups(self) -> set[str]:
        """The groups that have a limit each."""
        return {self.suite.group(self.suite.work(run, model)) for run in (0, 1) for model in (0, 1)}

    def out(self, group: str) -> int:
        """Number of permits of a group that are out."""
        return sum(one.holds for one in self.callers if self.suite.group(one.work) == group)

    def teardown(self) -> None:
        """After all callers have left, all permits are free again."""

        async def end() -> None:
            waiting = [caller.task for caller in self.callers if not caller.holds]
            for caller in self.callers:
                if caller.holds:
                    caller.task.result().release(Done())
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
        """Check that all permits of a group are free."""
        works = [self.suite.work(run, model) for run in (0, 1) for model in (0, 1)]
        work = next(one for one in works if self.suite.group(one) == group)
        again: list[Permit] = []
        for number in range(self.suite.room()):
            why = (
                f"leak: all callers have left, but only {number} of {self.suite.room()} permits "
                f"of {group} are free again"
            )
            again.append(await self.suite.got(self.workers[0].strategy, work, why))
        for permit in again:
            permit.release(Done())
