"""Runs that used up their budget: they pause, keep what was paid, and continue later."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from paceline import SettingsError, UsageError
from paceline.contracts.provider import CompletionRequest
from paceline.contracts.storage.budgets import BudgetLimits, BudgetScope, to_nanos
from paceline.settings.model import ProviderSettings, Settings
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.store import MemoryStore
from paceline_strategies.budget import Budget

from tests.support.memory_worker import Rig, a_roadmap, rig

CONCEPTS = 4
#: A million of everything costs one: prices are easy to read.
PRICED = ProviderSettings(prompt_price=1000, completion_price=1000)


def slow(request: CompletionRequest, _ordinal: int) -> Reply:
    return 20.0, plain_answer(request.step)


@asynccontextmanager
async def a_rig(provider: ScriptedProvider | None = None, **limits: float) -> AsyncGenerator[Rig]:
    """A worker with these limits in units of the currency, by scope with ``_``."""
    store = MemoryStore()
    names: dict[str, BudgetScope] = {"run": "run", "day": "day", "month": "month"}
    common = {names[name]: to_nanos(limit) for name, limit in limits.items()}
    budget = Budget(BudgetLimits(common=common), store, worker_id="worker")
    settings = Settings(strategy=["budget", "unbounded"], provider=PRICED)
    async with rig(
        provider or ScriptedProvider(slow),
        strategies=[("budget", budget)],
        store=store,
        settings=settings,
    ) as it:
        yield it
    await budget.close()


@virtual_time
async def test_a_run_pauses_when_its_budget_is_used_up_and_keeps_what_it_paid() -> None:
    async with a_rig(run=20) as it:
        run = await it.generate(a_roadmap(CONCEPTS))
        assert run.status == "paused"
        assert run.reason is not None
        assert run.reason.startswith("budget: ")
        assert "(per_run)" in run.reason
        made = await it.store.artifacts(run.run_id)
        assert len(made) == len(it.provider.requests)
        spent = (await it.store.spending(run.run_id)).total.cost
        assert spent is not None
        assert 0 < spent <= 20


@virtual_time
async def test_a_larger_budget_continues_a_run_and_pays_nothing_twice() -> None:
    async with a_rig(run=20) as it:
        run = await it.generate(a_roadmap(CONCEPTS))
        paid = len(it.provider.requests)
        again, submitted = await it.client.resume(run.run_id, budget=1000)
        assert (again.budget, submitted) == (1000, "resumed")
        assert await it.worker.run(run.run_id) == "completed"
        assert 0 < paid < len(it.provider.requests) == 3 * CONCEPTS
        assert (await it.store.spending(run.run_id)).unsaved.attempts == 0


@virtual_time
async def test_a_worker_continues_a_run_on_the_next_day() -> None:
    async with a_rig(day=25) as it:
        serving = asyncio.create_task(it.worker.serve())
        run, _ = await it.client.submit(a_roadmap(CONCEPTS))
        paused = await it.client.wait(run.run_id)
        assert paused.status == "paused"
        days = 1
        while (await it.store.run(run.run_id)).status != "completed":
            await asyncio.sleep(24 * 3600)
            days += 1
            assert days < 10
        assert days > 1
        assert len(it.provider.requests) == 3 * CONCEPTS
        await it.worker.drain(0)
        await serving


@virtual_time
async def test_a_run_that_a_user_paused_is_not_continued_by_its_budget() -> None:
    async with a_rig(day=1000) as it:
        serving = asyncio.create_task(it.worker.serve())
        run, _ = await it.client.submit(a_roadmap(CONCEPTS))
        await it.client.pause(run.run_id, "budget")
        await it.client.wait(run.run_id)
        await asyncio.sleep(24 * 3600)
        assert (await it.store.run(run.run_id)).reason == "budget"
        await it.worker.drain(0)
        await serving


@virtual_time
async def test_a_budget_without_the_strategy_is_an_error() -> None:
    async with rig() as it:
        with pytest.raises(UsageError, match="set strategy to budget, unbounded"):
            await it.client.submit(a_roadmap(1), budget=1)
    async with a_rig(run=1) as it:
        with pytest.raises(UsageError, match="budget must be above 0"):
            await it.client.submit(a_roadmap(1), budget=0)


@virtual_time
async def test_a_worker_does_not_start_without_the_prices_of_its_models() -> None:
    store = MemoryStore()
    budget = Budget(BudgetLimits(common={"run": 1}), store, worker_id="worker")
    with pytest.raises(SettingsError, match=r"provider\.prompt_price"):
        async with rig(strategies=[("budget", budget)], store=store):
            pass


async def notices_of(it: Rig, run_id: str) -> list[str]:
    """The notes of a run itself."""
    notices: list[str] = []
    async for event in it.bus.subscribe(run_id):
        if event.is_note and event.concept_id is None:
            assert (event.step, event.status, event.stopped) == (None, "running", False)
            notices.append(event.reason or "")
        if event.stopped:
            break
    return notices


@virtual_time
async def test_one_run_says_once_that_most_of_a_budget_is_spent() -> None:
    async with a_rig(day=100, month=1e6) as it:
        runs = [await it.generate(a_roadmap(CONCEPTS))]
        while runs[-1].status == "completed":
            runs.append(await it.generate(a_roadmap(CONCEPTS, f"r{len(runs)}")))
        notices = [await notices_of(it, run.run_id) for run in runs]
    assert len(runs) > 2
    assert notices[0] == []
    (notice,) = [one for of_run in notices for one in of_run]
    assert notice.startswith("budget: 80 % or more is used: 8")
    assert " of 100.0000 USD spent (per_day " in notice
