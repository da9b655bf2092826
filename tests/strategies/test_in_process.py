"""Strategies of one process: ``unbounded`` and ``per-roadmap``."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paceline import Done, Permit, Strategy, Work
from paceline.contracts.admission.work import Level
from paceline.errors import SettingsError
from paceline.generation.strategy_stack import StrategyStack
from paceline.plugins.context import Context
from paceline.plugins.registry import Plugins
from paceline.settings.model import Settings
from paceline.testing.virtual_time import run_virtual, virtual_time
from paceline_strategies.local_limiter import LocalLimiter
from paceline_strategies.per_roadmap import PerRoadmap

from tests.support.permit_requests import Member, assert_first_come_first_served, crowds, let_in


def work(run: str = "run", level: Level = "concept") -> Work:
    """Some work of a run."""
    return Work(level=level, run_id=run, roadmap_id="roadmap", concept_id="concept")


def made(name: str, **options: object) -> Strategy:
    """A strategy as the settings make it."""
    plugins = Plugins()
    context = Context(settings=Settings())
    return plugins.strategy(name).make(options, context, f"strategies.{name}")


@virtual_time
async def test_unbounded_admits_everything_immediately() -> None:
    strategy = made("unbounded")
    assert not strategy.levels
    permits = [await strategy.admit(work()) for _ in range(1000)]
    assert asyncio.get_running_loop().time() == 0
    for permit in permits:
        permit.release(Done())
    assert strategy.explain() == "no limit"


@virtual_time
async def test_per_roadmap_limits_the_concepts_of_each_run() -> None:
    strategy = made("per-roadmap", limit=3)

    async def concept(run: str) -> None:
        permit = await strategy.admit(work(run))
        await asyncio.sleep(1)
        permit.release(Done())

    runs = ["a", "b", "c", "d"]
    await asyncio.gather(*(concept(run) for run in runs for _ in range(9)))
    assert asyncio.get_running_loop().time() == 3.0


@virtual_time(limit=1.0)
async def test_per_roadmap_limits_concepts_and_no_calls() -> None:
    strategy = made("per-roadmap", limit=1)
    assert strategy.levels == {"concept"}
    stack = StrategyStack([("per-roadmap", strategy)])
    for _ in range(9):
        await stack.admit(work(level="call"))


@virtual_time
async def test_per_roadmap_explains_how_full_it_is() -> None:
    strategy = PerRoadmap(2)
    permits = [await strategy.admit(work(run)) for run in ("a", "a", "b")]
    waits = asyncio.create_task(strategy.admit(work("a")))
    await asyncio.sleep(0)
    expected = "2 concepts per roadmap, 3 held in 2 roadmaps, 1 waiting"
    assert strategy.explain() == expected
    for permit in permits:
        permit.release(Done())
    (await waits).release(Done())
    assert strategy.explain() == "2 concepts per roadmap, 0 held in 0 roadmaps, 0 waiting"


@pytest.mark.parametrize(("limit", "complaint"), [(0, "limit"), (100_001, "limit"), ("x", "limit")])
def test_an_invalid_limit_is_refused(limit: object, complaint: str) -> None:
    with pytest.raises(SettingsError, match=rf"strategies\.per-roadmap\.{complaint}"):
        made("per-roadmap", limit=limit)


@given(crowd=crowds, limit=st.integers(1, 4), seed=st.integers(0, 3))
def test_cancelling_at_any_moment_leaks_nothing_and_exceeds_no_limit(
    crowd: list[Member], limit: int, seed: int
) -> None:
    async def scenario() -> None:
        strategy = PerRoadmap(limit)
        seen = await let_in(crowd, lambda member: strategy.admit(work(str(member.gate))))
        assert all(peak <= limit for peak in seen.peak.values())
        assert not strategy._runs, "a finished run is removed"
        for member in crowd:  # all permits are free again
            permits = [await strategy.admit(work(str(member.gate))) for _ in range(limit)]
            for permit in permits:
                permit.release(Done())

    run_virtual(scenario(), limit=1000.0, seed=seed)


@given(crowd=crowds, limit=st.integers(1, 4))
@virtual_time(limit=1000.0)
async def test_first_come_first_served(crowd: list[Member], limit: int) -> None:
    patient = [Member(m.comes, m.works, None, 0) for m in crowd]

    limiter = LocalLimiter(limit)
    seen = await let_in(patient, lambda _: limiter.admit())
    assert_first_come_first_served(patient, seen)


@virtual_time
async def test_no_caller_overtakes_a_waiter() -> None:
    limiter = LocalLimiter(1)
    order: list[str] = []

    async def come(name: str) -> Permit:
        permit = await limiter.admit()
        order.append(name)
        return permit

    held = await come("first")
    waits = asyncio.create_task(come("second"))
    await asyncio.sleep(0)
    held.release(Done())
    # The second was served but has not run yet; the third comes before it does.
    third = asyncio.create_task(come("third"))
    (await waits).release(Done())
    (await third).release(Done())
    assert order == ["first", "second", "third"]
