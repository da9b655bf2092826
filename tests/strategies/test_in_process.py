"""Strategies of one process: ``unbounded`` and ``per-roadmap``."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paceline import Done, Permit, Strategy, Work
from paceline.contracts.work import Level
from paceline.errors import SettingsError
from paceline.plugins.context import Context
from paceline.plugins.registry import Plugins
from paceline.settings.model import Settings
from paceline.testing.virtual_time import run_virtual, virtual_time
from paceline_strategies.limits import Fixed, Sample
from paceline_strategies.local import LocalLimiter
from paceline_strategies.per_roadmap import PerRoadmap

from tests.strategies.crowd import Member, assert_first_come_first_served, crowds, let_in


def work(run: str = "run", level: Level = "concept") -> Work:
    """Some work of a run."""
    return Work(level=level, run_id=run, roadmap_id="roadmap", concept_id="concept")


def made(name: str, **options: object) -> Strategy:
    """A strategy as the settings make it."""
    plugins = Plugins()
    context = Context(settings=Settings())
    return plugins.strategy(name).make(options, context, f"strategies.{name}")


@virtual_time
async def test_unbounded_admits_everything_at_once() -> None:
    strategy = made("unbounded")
    assert not strategy.levels
    permits = [await strategy.admit(work()) for _ in range(1000)]
    assert asyncio.get_running_loop().time() == 0
    for permit in permits:
        permit.release(Done())
    assert strategy.explain() == "no limit"


@virtual_time
async def test_per_roadmap_holds_so_many_concepts_of_each_run() -> None:
    strategy = made("per-roadmap", limit=3)

    async def concept(run: str) -> None:
        permit = await strategy.admit(work(run))
        await asyncio.sleep(1)
        permit.release(Done())

    runs = ["a", "b", "c", "d"]
    await asyncio.gather(*(concept(run) for run in runs for _ in range(9)))
    assert asyncio.get_running_loop().time() == 3.0


@virtual_time(limit=1.0)
async def test_per_roadmap_lets_calls_pass() -> None:
    strategy = made("per-roadmap", limit=1)
    assert strategy.levels == {"concept"}
    for _ in range(9):
        await strategy.admit(work(level="call"))


@virtual_time
async def test_per_roadmap_says_how_full_it_is() -> None:
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
def test_a_limit_that_cannot_be_is_refused(limit: object, complaint: str) -> None:
    with pytest.raises(SettingsError, match=rf"strategies\.per-roadmap\.{complaint}"):
        made("per-roadmap", limit=limit)


@given(crowd=crowds, limit=st.integers(1, 4), seed=st.integers(0, 3))
def test_cancelling_at_any_moment_leaks_nothing_and_passes_no_limit(
    crowd: list[Member], limit: int, seed: int
) -> None:
    async def scenario() -> None:
        strategy = PerRoadmap(limit)
        seen = await let_in(crowd, lambda member: strategy.admit(work(str(member.gate))))
        assert all(peak <= limit for peak in seen.peak.values())
        assert not strategy._runs, "a run that is over is forgotten"
        for member in crowd:  # and all permits can be had again
            permits = [await strategy.admit(work(str(member.gate))) for _ in range(limit)]
            for permit in permits:
                permit.release(Done())

    run_virtual(scenario(), limit=1000.0, seed=seed)


@given(crowd=crowds, limit=st.integers(1, 4))
@virtual_time(limit=1000.0)
async def test_who_comes_first_is_served_first(crowd: list[Member], limit: int) -> None:
    patient = [Member(m.comes, m.works, None, 0) for m in crowd]

    limiter = LocalLimiter(Fixed(limit))
    seen = await let_in(patient, lambda _: limiter.admit())
    assert_first_come_first_served(patient, seen)


@virtual_time
async def test_nobody_slips_past_those_who_wait() -> None:
    limiter = LocalLimiter(Fixed(1))
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


@virtual_time
async def test_a_limit_learns_what_came_of_each_permit() -> None:
    class Growing:
        def __init__(self) -> None:
            self.limit = 1
            self.samples: list[Sample] = []

        def observe(self, sample: Sample) -> None:
            self.samples.append(sample)
            self.limit = 3

    limit = Growing()
    limiter = LocalLimiter(limit)
    first = await limiter.admit()
    waits = [asyncio.create_task(limiter.admit()) for _ in range(4)]
    await asyncio.sleep(2)
    first.release(Done(tokens=7))
    await asyncio.sleep(0)
    assert limit.samples == [Sample(now=2, seconds=2, in_flight=1, outcome=Done(tokens=7))]
    assert (limiter.held, limiter.waiting) == (3, 1)
    for wait in waits:
        wait.cancel()
