"""The strategy ``budget``: money is reserved before a call and settled after it."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paceline import Done, Failed, Permit, RateLimited, RunPaused, SettingsError, Strategy, Work
from paceline.contracts.storage.budgets import (
    NANOS,
    BudgetLimits,
    BudgetScope,
    MoneyAnswers,
    MoneyRequest,
    MoneySpent,
    to_nanos,
)
from paceline.contracts.storage.records import WorkerRecord
from paceline.generation.strategy_stack import StrategyStack
from paceline.testing.contracts.store.inputs import submitted, worker
from paceline.testing.virtual_time import run_virtual, virtual_time
from paceline_adapters.memory.store import MemoryStore
from paceline_strategies.budget import Budget
from paceline_strategies.local_limiter import LocalLimiter

LEASE = 30.0


def a_budget(store: MemoryStore, worker_id: str = "me", **limits: float) -> Budget:
    common: dict[BudgetScope, int] = {"run": to_nanos(limits.get("per_run", 1e6))}
    if "per_day" in limits:
        common["day"] = to_nanos(limits["per_day"])
    return Budget(BudgetLimits(common=common), store, worker_id=worker_id)


def call(run_id: str, cost: float | None = 1.0) -> Work:
    return Work(
        level="call", run_id=run_id, roadmap_id="r", concept_id="c", key="p:m", step="s", cost=cost
    )


@virtual_time
async def test_a_call_waits_until_calls_in_flight_leave_it_room() -> None:
    store = MemoryStore()
    run = await submitted(store)
    budget = a_budget(store, per_run=10)
    first = await budget.admit(call(run.run_id, 8))
    waiting = asyncio.create_task(budget.admit(call(run.run_id, 8)))
    await asyncio.sleep(100)
    assert not waiting.done()
    first.release(Done(cost=1.0))
    # Learned from the first call: the second one reserves an eighth of its estimate.
    (await waiting).release(Done(cost=1.0))
    await budget.close()


@virtual_time
async def test_a_reached_budget_pauses_the_run_and_says_what_to_do() -> None:
    store = MemoryStore()
    run = await submitted(store)
    budget = a_budget(store, per_run=2)
    (await budget.admit(call(run.run_id))).release(Done(cost=1.5))
    with pytest.raises(RunPaused, match=r"1\.5000 USD of 2\.0000 USD spent \(per_run\)") as paused:
        await budget.admit(call(run.run_id))
    assert "--budget" in str(paused.value)
    assert paused.value.short_of is not None
    await budget.close()


@virtual_time
async def test_a_call_larger_than_the_whole_budget_pauses_at_once() -> None:
    store = MemoryStore()
    run = await submitted(store)
    budget = a_budget(store, per_run=2)
    with pytest.raises(RunPaused, match="more than the whole limit"):
        await budget.admit(call(run.run_id, 3))
    await budget.close()


@virtual_time
async def test_refused_calls_cost_nothing_and_calls_that_arrived_cost_what_was_reserved() -> None:
    store = MemoryStore()
    run = await submitted(store)
    budget = a_budget(store, per_run=2)
    (await budget.admit(call(run.run_id))).release(RateLimited())
    (await budget.admit(call(run.run_id))).release(Failed())
    (await budget.admit(call(run.run_id))).release(Failed(arrived=True))
    with pytest.raises(RunPaused, match=r"1\.0000 USD of 2"):
        await budget.admit(call(run.run_id, 1.5))
    await budget.close()


@virtual_time
async def test_a_wait_that_is_cancelled_leaves_no_reservation() -> None:
    store = MemoryStore()
    run = await submitted(store)
    budget = a_budget(store, per_run=2)
    for rounds in range(5):
        waiting = asyncio.create_task(budget.admit(call(run.run_id, 2)))
        for _ in range(rounds):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        if not waiting.cancelled():
            waiting.result().release(Failed())
    (await budget.admit(call(run.run_id, 2))).release(Done(cost=2.0))
    await budget.close()


@virtual_time
async def test_a_call_without_a_price_is_an_error() -> None:
    store = MemoryStore()
    run = await submitted(store)
    budget = a_budget(store)
    with pytest.raises(SettingsError, match="prompt_price"):
        await budget.admit(call(run.run_id, None))


class CallLimit(Strategy):
    levels = frozenset({"call"})

    def __init__(self) -> None:
        self._limiter = LocalLimiter(1)

    async def admit(self, work: Work) -> Permit:
        return await self._limiter.admit()


@virtual_time
async def test_no_call_waits_for_money_while_it_holds_a_permit() -> None:
    budget = a_budget(MemoryStore())
    StrategyStack([("budget", budget), ("calls", CallLimit())])
    with pytest.raises(SettingsError, match="budget must stand before calls"):
        StrategyStack([("calls", CallLimit()), ("budget", budget)])


class CountsExchanges(MemoryStore):
    exchanges = 0

    async def exchange_money(
        self,
        worker_id: str,
        limits: BudgetLimits,
        *,
        requests: Sequence[MoneyRequest] = (),
        spent: Sequence[MoneySpent] = (),
    ) -> MoneyAnswers:
        self.exchanges += 1
        await asyncio.sleep(0.01)
        return await super().exchange_money(worker_id, limits, requests=requests, spent=spent)


@pytest.mark.parametrize("calls", [10, 400])
def test_the_number_of_exchanges_does_not_grow_with_the_calls_at_once(calls: int) -> None:
    async def scenario() -> int:
        store = CountsExchanges()
        run = await submitted(store)
        budget = a_budget(store)

        async def one() -> None:
            permit = await budget.admit(call(run.run_id))
            await asyncio.sleep(10)
            permit.release(Done(cost=1.0))

        await asyncio.gather(*(one() for _ in range(calls)))
        await budget.close()
        return store.exchanges

    assert run_virtual(scenario()) <= 4


class Counts(MemoryStore):
    """Notes what was in flight at the last grant, and what these calls cost in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.flying: dict[str, int] = {}
        self.at_last_grant: dict[str, int] = {}
        self.real: dict[str, int] = {}

    async def exchange_money(
        self,
        worker_id: str,
        limits: BudgetLimits,
        *,
        requests: Sequence[MoneyRequest] = (),
        spent: Sequence[MoneySpent] = (),
    ) -> MoneyAnswers:
        answers = await super().exchange_money(worker_id, limits, requests=requests, spent=spent)
        for one in spent:
            self.real[one.id] = self.flying.pop(one.id, 0) if one.cost is None else one.cost
            self.flying.pop(one.id, None)
        self.flying |= {one.id: one.amount for one in requests if one.id in answers.granted}
        if answers.granted:
            self.at_last_grant = dict(self.flying)
        return answers

    @property
    def overshoot(self) -> float:
        """By how much the calls in flight at the last grant exceeded their reservation."""
        excess = (self.real.get(id_, 0) - amount for id_, amount in self.at_last_grant.items())
        return sum(max(0, one) for one in excess) / NANOS


class Gone(MemoryStore):
    """What a killed process reaches: nothing."""

    async def exchange_money(self, *_: object, **__: object) -> MoneyAnswers:
        await asyncio.Event().wait()
        raise AssertionError


@dataclass
class World:
    """Processes that spend, some of which are killed; what the provider billed."""

    store: Counts
    chance: random.Random
    billed: float = 0.0
    killed: float = 0.0

    async def call(self, budget: Budget, run_id: str) -> None:
        estimate = self.chance.choice([0.5, 1.0, 2.0])
        cost = estimate * self.chance.choice([0.1, 0.5, 1.0, 1.5])
        try:
            permit = await budget.admit(call(run_id, estimate))
        except RunPaused:
            return
        self.billed += cost  # a killed call is billed, too
        try:
            await asyncio.sleep(self.chance.uniform(1, 20))
        except asyncio.CancelledError:
            self.killed += cost  # its reservation may be less, but not negative
            raise
        permit.release(Done(cost=cost))

    async def process(self, name: str, run_ids: list[str], *, kill: bool) -> None:
        record: WorkerRecord = worker(name)
        await self.store.register(record)
        budget = a_budget(self.store, name, per_run=20, per_day=30)
        calls = [
            asyncio.create_task(self.call(budget, self.chance.choice(run_ids))) for _ in range(30)
        ]
        if not kill:
            await asyncio.gather(*calls)
            await budget.close()
            return
        await asyncio.sleep(self.chance.uniform(0, 30))
        budget._exchange._store = Gone()
        for one in calls:
            one.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await self.store.deregister(name)
        await self.store.settle_lost(lease=LEASE)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), kills=st.lists(st.booleans(), min_size=4, max_size=8))
def test_what_is_billed_exceeds_no_budget_by_more_than_the_answers_in_flight(
    seed: int, kills: list[bool]
) -> None:
    async def scenario() -> None:
        store = Counts()
        runs = [(await submitted(store, f"r{n}")).run_id for n in range(3)]
        world = World(store, random.Random(seed))
        await asyncio.gather(
            *(world.process(f"w{n}", runs, kill=kill) for n, kill in enumerate(kills))
        )
        limits = BudgetLimits(common={"day": to_nanos(30)})
        (figures,) = await store.account_figures(limits)
        assert figures.reserved == 0
        assert world.billed <= 30 + store.overshoot + world.killed + 1e-6
        if not any(kills):
            assert figures.spent / NANOS == pytest.approx(world.billed)

    run_virtual(scenario())
