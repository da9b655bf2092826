"""The whole pipeline in virtual time, with random orders and losses from a seed."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack

import pytest
from paceline.client.follow import follow
from paceline.contracts.provider import CompletionRequest
from paceline.contracts.storage.records import (
    NOTHING_REPLACED,
    Artifact,
    Beat,
    Claim,
    ConceptState,
    Figures,
    Orphan,
    Replaced,
    RunStatus,
)
from paceline.errors import PartUnavailable, Refused, Transient
from paceline.settings.model import ProviderSettings, RunSettings, Settings
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import run_virtual
from paceline_adapters.memory.store import MemoryStore

from tests.support.memory_worker import a_roadmap, rig

RUNS, CONCEPTS, LIMIT = 3, 6, 2
LEASE = 10.0


def each(seeds: Iterable[int], check: Callable[[int], None]) -> None:
    """Check every seed; a failure names the seed that reproduces it."""
    for seed in seeds:
        try:
            check(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}: {check.__name__}({seed}) reproduces this")
            raise


def unruly(request: CompletionRequest, ordinal: int) -> Reply:
    """A provider that drops and refuses some calls."""
    if ordinal % 5 == 0:
        return 1.0, Transient("cut")
    if ordinal % 7 == 0:
        return 0.0, Refused("full", 3.0)
    return (ordinal % 4) * 1.0, plain_answer(request.step)


def everything_is_made(seed: int) -> None:
    """Three roadmaps under two limits with an unruly provider, in a random order."""

    async def scenario() -> None:
        chosen = Settings(
            strategy=["per-roadmap", "global"],
            strategies={"per-roadmap": {"limit": 3}, "global": {"concurrency": 4}},
            provider=ProviderSettings(attempts=20),
        )
        async with rig(ScriptedProvider(unruly), settings=chosen) as it:
            async with asyncio.TaskGroup() as tasks:
                made = [tasks.create_task(it.generate(a_roadmap(9, f"r{n}"))) for n in range(3)]
            assert {task.result().status for task in made} == {"completed"}
            assert it.provider.peak <= 4
            assert (it.worker.parts.gauges.concepts, it.worker.parts.gauges.calls) == (0, 0)

    run_virtual(scenario(), seed=seed)


class Seat(MemoryStore):
    """One worker's connection to a shared store, which can be lost for a while.

    A worker that is cut off for longer than its lease is what a frozen process, a lost network
    and a jumping clock come to: it loses its runs, wakes up, and goes on where it stood.
    """

    __slots__ = ("away",)

    def __init__(self, shared: MemoryStore) -> None:
        self.__dict__ = shared.__dict__
        self.away = False

    def _reach(self) -> None:
        if self.away:
            raise PartUnavailable("the store cannot be reached")

    async def claim(self, run_id: str, worker_id: str, *, lease: float) -> Claim | None:
        self._reach()
        return await super().claim(run_id, worker_id, lease=lease)

    async def artifact_steps(
        self, run_id: str, *, concepts: Sequence[str] | None = None
    ) -> Mapping[str, frozenset[str]]:
        self._reach()
        return await super().artifact_steps(run_id, concepts=concepts)

    async def save(
        self,
        claim: Claim,
        artifact: Artifact,
        *,
        concept: ConceptState | None,
        replaced: Replaced = NOTHING_REPLACED,
    ) -> None:
        self._reach()
        await super().save(claim, artifact, concept=concept, replaced=replaced)

    async def finish(self, claim: Claim, status: RunStatus, reason: str | None = None) -> RunStatus:
        self._reach()
        return await super().finish(claim, status, reason)

    async def hand_back(self, claim: Claim, reason: str | None = None) -> None:
        self._reach()
        await super().hand_back(claim, reason)

    async def orphans(self, *, run_id: str | None = None, limit: int = 100) -> Sequence[Orphan]:
        self._reach()
        return await super().orphans(run_id=run_id, limit=limit)

    async def beat(self, worker_id: str, figures: Figures, *, lease: float) -> Beat:
        self._reach()
        return await super().beat(worker_id, figures, lease=lease)


def losses_cost_what_was_in_flight(seed: int) -> None:
    """Two workers that lose the store at random times and for random periods."""

    async def scenario() -> None:
        chance = random.Random(seed)
        chosen = Settings(
            strategies={"per-roadmap": {"limit": LIMIT}},
            run=RunSettings(lease=LEASE, poison_after=100),
        )
        provider = ScriptedProvider(lambda request, _: (4.0, plain_answer(request.step)))
        shared = MemoryStore()
        seats = [Seat(shared), Seat(shared)]
        async with AsyncExitStack() as stack:
            workers = [
                await stack.enter_async_context(rig(provider, store=seat, settings=chosen))
                for seat in seats
            ]
            serving = [asyncio.create_task(one.worker.serve()) for one in workers]
            runs = [
                (await workers[0].client.submit(a_roadmap(CONCEPTS, f"r{n}")))[0]
                for n in range(RUNS)
            ]
            losses = chance.randrange(1, 6)
            for _ in range(losses):
                await asyncio.sleep(chance.uniform(0, LEASE))
                seat = chance.choice(seats)
                seat.away = True
                await asyncio.sleep(chance.uniform(0, 3 * LEASE))
                seat.away = False
            for run in runs:
                async for _ in follow(shared, None, run.run_id):
                    pass
                assert (await shared.run(run.run_id)).status == "completed"
                assert len(await shared.artifacts(run.run_id)) == 3 * CONCEPTS
            prompts = Counter(request.messages for request in provider.requests)
            assert len(prompts) == 3 * CONCEPTS * RUNS
            assert sum(prompts.values()) - len(prompts) <= losses * RUNS * LIMIT
            assert not any(one.worker.parts.gauges.calls for one in workers)
            for one in workers:
                await one.worker.stop()
            await asyncio.gather(*serving)

    run_virtual(scenario(), seed=seed)


CHECKS = pytest.mark.parametrize("check", [everything_is_made, losses_cost_what_was_in_flight])


@CHECKS
@pytest.mark.parametrize("dozen", range(2))
def test_everything_is_generated_in_any_order_and_with_any_losses(
    check: Callable[[int], None], dozen: int
) -> None:
    each(range(dozen * 12, dozen * 12 + 12), check)


@CHECKS
@pytest.mark.soak
@pytest.mark.parametrize("hundred", range(20))
def test_everything_is_generated_in_two_thousand_random_orders(
    check: Callable[[int], None], hundred: int
) -> None:
    each(range(hundred * 100, hundred * 100 + 100), check)
