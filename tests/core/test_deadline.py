"""The deadline of a run: waiting for admission does not use it up."""

import asyncio

import pytest
from paceline import Level, Outcome, Permit, Strategy, Work
from paceline.calls.deadline import Deadline
from paceline.settings.model import RunSettings, Settings
from paceline.testing.scripted import ScriptedProvider, plain_answer
from paceline.testing.virtual_time import virtual_time

from tests.support.memory_worker import a_roadmap, rig

CALL = 10.0
HOUR = 3600.0


class AtNight(Strategy):
    """Admits from one hour on; before, everything waits."""

    def __init__(self, level: Level, opens: float) -> None:
        self.levels = frozenset({level})
        self._opens = opens

    async def admit(self, work: Work) -> Permit:
        await asyncio.sleep(max(0.0, self._opens - asyncio.get_running_loop().time()))
        return Permit()


class OneCall(Strategy):
    """One call at a time."""

    levels = frozenset({"call"})

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def admit(self, work: Work) -> Permit:
        await self._lock.acquire()

        def release(_: Outcome) -> None:
            self._lock.release()

        return Permit(release)


def steady() -> ScriptedProvider:
    return ScriptedProvider(lambda request, _: (CALL, plain_answer(request.step)))


def settings(deadline: float) -> Settings:
    return Settings(strategy=["unbounded"], run=RunSettings(deadline=deadline))


@pytest.mark.parametrize("level", ["concept", "call"])
@virtual_time
async def test_a_strategy_that_opens_at_night_does_not_fail_runs(level: Level) -> None:
    strategies = [("at-night", AtNight(level, 8 * HOUR))]
    async with rig(steady(), strategies=strategies, settings=settings(4 * CALL)) as it:
        run = await it.generate(a_roadmap(3))
        assert run.status == "completed"
        assert asyncio.get_running_loop().time() == pytest.approx(8 * HOUR + 3 * CALL)


@virtual_time
async def test_the_clock_runs_while_one_of_several_concepts_is_in_a_call() -> None:
    strategies = [("one-call", OneCall())]
    async with rig(steady(), strategies=strategies, settings=settings(4.5 * CALL)) as it:
        run = await it.generate(a_roadmap(3))
        assert run.status == "queued"
        assert (await it.store.run(run.run_id)).reason == "stopped after 45 s (run.deadline)"
        assert len(await it.store.artifacts(run.run_id)) == 4


@virtual_time
async def test_a_call_that_hangs_after_a_long_wait_still_reaches_the_deadline() -> None:
    provider = ScriptedProvider(lambda *_: (HOUR, "late"))
    strategies = [("at-night", AtNight("call", HOUR))]
    async with rig(provider, strategies=strategies, settings=settings(CALL)) as it:
        run = await it.generate(a_roadmap(1))
        assert run.status == "failed"
        assert run.reason == "stopped after 10 s (run.deadline) before it saved an artifact"
        assert asyncio.get_running_loop().time() == pytest.approx(HOUR + CALL)


@pytest.mark.parametrize("level", ["concept", "call"])
@virtual_time
async def test_an_executor_that_stops_a_waiting_run_queues_it_again(level: Level) -> None:
    strategies = [("at-night", AtNight(level, HOUR))]
    async with rig(steady(), strategies=strategies, settings=settings(CALL)) as it:
        run, _ = await it.client.submit(a_roadmap(3))
        working = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(HOUR / 2)
        it.worker.expire(run.run_id)
        assert await working == "queued"
        again = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(HOUR / 2 + 1)
        it.worker.expire(run.run_id)
        assert await again == "failed"  # it has called, and saved nothing


@virtual_time
async def test_a_run_that_is_stopped_while_it_waits_ends_at_once() -> None:
    strategies = [("at-night", AtNight("concept", HOUR))]
    async with rig(steady(), strategies=strategies, settings=settings(CALL)) as it:
        run, _ = await it.client.submit(a_roadmap(3))
        working = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(60)
        await it.client.cancel(run.run_id)
        assert await working == "cancelled"
        assert asyncio.get_running_loop().time() < 66


async def work(deadline: Deadline, *spans: tuple[str, float]) -> None:
    """Work and wait for these times, in order."""
    with deadline.working():
        for what, seconds in spans:
            if what == "wait":
                with deadline.waiting():
                    await asyncio.sleep(seconds)
            else:
                await asyncio.sleep(seconds)


async def all_of(deadline: Deadline, tasks: list[list[tuple[str, float]]]) -> None:
    async with deadline, asyncio.TaskGroup() as group:
        for spans in tasks:
            group.create_task(work(deadline, *spans))


def works(seconds: float) -> tuple[str, float]:
    return "work", seconds


def waits(seconds: float) -> tuple[str, float]:
    return "wait", seconds


@pytest.mark.parametrize(
    ("tasks", "ends"),
    [
        ([[works(100)]], 10.0),
        ([[waits(50), works(100)]], 60.0),
        ([[works(4), waits(50), works(100)]], 60.0),
        ([[waits(50), works(100)], [works(100)]], 10.0),  # one of them works
        ([[works(4), waits(96)], [waits(50), works(50)]], 56.0),
        ([[waits(5), works(5)], [works(5), waits(5)]], None),  # exactly the deadline
        ([[waits(5000), works(9)]], None),
    ],
)
@virtual_time
async def test_the_deadline_counts_the_time_in_which_a_task_works(
    tasks: list[list[tuple[str, float]]], ends: float | None
) -> None:
    deadline = Deadline(10.5 if ends is None else 10.0)
    if ends is None:
        await all_of(deadline, tasks)
        assert not deadline.expired()
        return
    with pytest.raises(TimeoutError):
        await all_of(deadline, tasks)
    assert deadline.expired()
    assert asyncio.get_running_loop().time() == pytest.approx(ends)


@virtual_time
async def test_without_a_task_that_works_the_clock_stands_still() -> None:
    deadline = Deadline(1.0)
    async with deadline:
        await asyncio.sleep(HOUR)
    assert not deadline.expired()


@virtual_time
async def test_an_executor_that_cancels_a_waiting_run_queues_it_again() -> None:
    """As arq does after ``job_timeout``."""
    strategies = [("at-night", AtNight("call", HOUR))]
    async with rig(steady(), strategies=strategies, settings=settings(CALL)) as it:
        run, _ = await it.client.submit(a_roadmap(3))
        working = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(HOUR / 2)
        working.cancel()
        assert await working == "queued"
        assert (await it.store.run(run.run_id)).status == "queued"
