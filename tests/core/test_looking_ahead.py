"""The pipeline requests admission for several concepts at once, in the roadmap's order."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from paceline import Outcome, Permit, Roadmap, Strategy, Work, parse_roadmap
from paceline.contracts.provider import CompletionRequest
from paceline.errors import Fatal, ProviderUnusable
from paceline.generation import pipeline
from paceline.settings.model import RunSettings, Settings
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import run_virtual, virtual_time

from tests.support.memory_worker import Rig, a_roadmap, rig

ONE_CALL = Settings(strategy=["unbounded"], run=RunSettings(steps=["tutorial"]))


def modules(number: int, concepts: int) -> Roadmap:
    """A roadmap of one stage with this number of modules, each of this number of concepts."""
    return parse_roadmap(
        {
            "roadmap_id": "r",
            "title": "r",
            "stages": [
                {
                    "stage_id": "s",
                    "name": "S",
                    "modules": [
                        {
                            "module_id": f"m{module}",
                            "name": f"Module {module}",
                            "concepts": [
                                {"concept_id": f"m{module}c{n}", "name": f"Concept {module}.{n}"}
                                for n in range(concepts)
                            ],
                        }
                        for module in range(number)
                    ],
                }
            ],
        },
        source="test",
    )


class PerModule(Strategy):
    """Some concepts of each module at once."""

    levels = frozenset({"concept"})

    def __init__(self, limit: int) -> None:
        self.asked: list[str] = []
        self.peak: Counter[str] = Counter()
        self._out: Counter[str] = Counter()
        self._modules = defaultdict[str, asyncio.Semaphore](lambda: asyncio.Semaphore(limit))

    async def admit(self, work: Work) -> Permit:
        self.asked.append(work.concept_id)
        semaphore = self._modules[work.module_id]
        await semaphore.acquire()
        for key in (work.module_id, "all"):
            self._out[key] += 1
            self.peak[key] = max(self.peak[key], self._out[key])

        def release(_: Outcome) -> None:
            self._out.subtract((work.module_id, "all"))
            semaphore.release()

        return Permit(release)


@virtual_time
async def test_a_strategy_that_limits_modules_fills_all_of_them() -> None:
    strategy = PerModule(2)
    named = [("per-module", strategy)]
    async with rig(strategies=named, settings=ONE_CALL) as it:
        run = await it.generate(modules(3, 10))
        assert run.status == "completed"
        assert strategy.peak == {"all": 6, "m0": 2, "m1": 2, "m2": 2}
        assert asyncio.get_running_loop().time() == 10 / 2


@virtual_time
async def test_concepts_ask_in_the_order_of_the_roadmap() -> None:
    strategy = PerModule(2)
    async with rig(strategies=[("per-module", strategy)], settings=ONE_CALL) as it:
        await it.generate(modules(5, 20))
    assert strategy.asked == [f"m{module}c{n}" for module in range(5) for n in range(20)]


@virtual_time
async def test_a_bounded_number_of_concepts_waits_for_admission() -> None:
    strategy = PerModule(1)
    async with rig(strategies=[("per-module", strategy)], settings=ONE_CALL) as it:
        working = asyncio.create_task(it.generate(a_roadmap(500)))
        await asyncio.sleep(0.5)
        assert len(strategy.asked) == 1 + pipeline.WAITING_FOR_ADMISSION
        assert it.worker.parts.gauges.waiting == pipeline.WAITING_FOR_ADMISSION
        assert it.worker.parts.gauges.concepts == 1
        working.cancel()
        await asyncio.wait({working})


@virtual_time
async def test_a_drained_run_asks_for_no_further_concept() -> None:
    strategy = PerModule(2)
    async with rig(strategies=[("per-module", strategy)], settings=ONE_CALL) as it:
        run, _ = await it.client.submit(modules(3, 40))
        working = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(0.5)
        asked = len(strategy.asked)
        await it.worker.drain(grace=60.0)
        assert await working == "queued"
        assert len(strategy.asked) == asked
        assert len(it.provider.requests) == len(await it.store.artifacts(run.run_id))
        assert it.worker.parts.gauges.waiting == 0


class Erratic(Strategy):
    """Admits at random times, and counts each permit's releases."""

    levels = frozenset({"concept"})

    def __init__(self, chance: random.Random, *, stubborn: bool) -> None:
        self._chance = chance
        self._stubborn = stubborn
        self.admitted = 0
        self.released = 0

    async def admit(self, work: Work) -> Permit:
        pause = self._chance.choice([0.0, 0.0, 0.3, 1.0, 5.0])
        try:
            if pause:
                await asyncio.sleep(pause)
        except asyncio.CancelledError:
            # A faulty strategy ignores that the run stops.
            if not self._stubborn or self._chance.random() < 0.5:
                raise
        self.admitted += 1
        return Permit(self._release)

    def _release(self, _: Outcome) -> None:
        self.released += 1


def stop_by_drain(it: Rig, _: "asyncio.Task[object]") -> None:
    it.worker.drain_run(next(iter(it.worker.parts.gauges.runs), ""))


def stop_by_cancelling(_: Rig, working: "asyncio.Task[object]") -> None:
    working.cancel()


def stop_by_losing_the_run(it: Rig, _: "asyncio.Task[object]") -> None:
    it.worker.stop_runs("lost")


ENDS: list[Callable[[Rig, "asyncio.Task[object]"], None]] = [
    stop_by_drain,
    stop_by_cancelling,
    stop_by_losing_the_run,
    lambda *_: None,
]


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    end=st.sampled_from(ENDS),
    after=st.sampled_from([0.0, 0.3, 1.0, 1.3, 2.0, 7.0]),
    fault=st.sampled_from([None, Fatal("no"), ProviderUnusable("no"), ValueError("a bug")]),
    stubborn=st.booleans(),
)
def test_every_permit_is_released_once_however_the_run_ends(
    seed: int,
    end: Callable[[Rig, "asyncio.Task[object]"], None],
    after: float,
    fault: Exception | None,
    stubborn: bool,
) -> None:
    chance = random.Random(seed)

    def script(request: CompletionRequest, _: int) -> Reply:
        if fault is not None and chance.random() < 0.1:
            return 0.7, fault
        return chance.choice([0.0, 0.3, 1.0]), plain_answer(request.step)

    async def scenario() -> None:
        strategy = Erratic(chance, stubborn=stubborn)
        named: list[tuple[str, Strategy]] = [("erratic", strategy)]
        provider = ScriptedProvider(script)
        async with rig(provider, strategies=named, settings=ONE_CALL) as it:
            run, _ = await it.client.submit(modules(3, 25))
            working = asyncio.create_task(it.worker.run(run.run_id))
            await asyncio.sleep(after)
            end(it, working)
            await asyncio.wait({working})
            assert strategy.released == strategy.admitted
            gauges = it.worker.parts.gauges
            assert (gauges.concepts, gauges.waiting, gauges.calls) == (0, 0, 0)
            assert provider.in_flight == 0

    run_virtual(scenario(), seed=seed, limit=10_000)
