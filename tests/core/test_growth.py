"""The memory and queries per concept do not grow with the run: counted, not timed."""

import asyncio
import gc

import pytest
from paceline.contracts.provider import CompletionRequest
from paceline.contracts.storage.records import (
    NOTHING_REPLACED,
    Artifact,
    Claim,
    ConceptState,
    Replaced,
)
from paceline.errors import ProviderUnusable
from paceline.generation.gc_frozen import LARGE, gc_frozen
from paceline.generation.pipeline import WAITING_FOR_FIRST_CALL
from paceline.generation.save_backlog import MAX_UNSAVED
from paceline.settings.model import RunSettings, Settings
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.store import MemoryStore

from tests.support.memory_worker import Rig, a_roadmap, rig

LIMIT = 8


def call_limited() -> Settings:
    """Eight calls at once, one call for each concept."""
    return Settings(
        strategy=["global"],
        strategies={"global": {"concurrency": LIMIT}},
        run=RunSettings(steps=["quiz"], deadline=7 * 24 * 3600),
    )


async def most_begun(it: Rig, concepts: int, *, every: float) -> int:
    """Generate a roadmap; return the maximum number of started, unfinished concepts."""
    most = 0

    async def look() -> None:
        nonlocal most
        while True:
            most = max(most, it.worker.parts.gauges.concepts)
            await asyncio.sleep(every)

    looking = asyncio.create_task(look())
    run = await it.generate(a_roadmap(concepts))
    looking.cancel()
    assert run.completed == concepts
    return most


def steady() -> ScriptedProvider:
    """A second a call."""
    return ScriptedProvider(lambda request, _: (1.0, plain_answer(request.step)))


@pytest.mark.parametrize("concepts", [100, 1000, pytest.param(20_000, marks=pytest.mark.soak)])
@virtual_time
async def test_only_concepts_in_a_call_or_next_in_line_are_started(concepts: int) -> None:
    async with rig(steady(), settings=call_limited()) as it:
        assert await most_begun(it, concepts, every=0.5) == LIMIT + WAITING_FOR_FIRST_CALL
        assert it.provider.peak == LIMIT


class SlowStore(MemoryStore):
    """Saves one artifact a second, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = asyncio.Lock()

    async def save(
        self,
        claim: Claim,
        artifact: Artifact,
        *,
        concept: ConceptState | None,
        replaced: Replaced = NOTHING_REPLACED,
    ) -> None:
        async with self._turn:
            await asyncio.sleep(1.0)
            await super().save(claim, artifact, concept=concept, replaced=replaced)


@virtual_time
async def test_a_store_slower_than_the_provider_delays_new_concepts() -> None:
    provider = ScriptedProvider(lambda request, _: (0.01, plain_answer(request.step)))
    async with rig(provider, settings=call_limited(), store=SlowStore()) as it:
        most = await most_begun(it, 2 * MAX_UNSAVED, every=1.0)
        assert MAX_UNSAVED <= most <= MAX_UNSAVED + LIMIT + WAITING_FOR_FIRST_CALL


@virtual_time
async def test_a_concept_leaves_nothing_for_the_garbage_collector() -> None:
    """Reference cycles stay in memory until a collection, which is rare with a large heap."""
    async with rig(steady(), settings=call_limited()) as it:
        await it.generate(a_roadmap(10, "warm"))
        gc.collect()
        gc.disable()
        try:
            await it.generate(a_roadmap(200))
            assert gc.collect() < 200
        finally:
            gc.enable()


@pytest.mark.parametrize(("concepts", "left_out"), [(LARGE - 1, False), (LARGE, True)])
@virtual_time
async def test_the_garbage_collector_skips_large_roadmaps_while_they_run(
    concepts: int, left_out: bool
) -> None:
    seen: list[bool] = []

    def script(_request: CompletionRequest, _ordinal: int) -> Reply:
        seen.append(gc.get_freeze_count() > 0)
        return 1.0, ProviderUnusable("enough")

    async with rig(ScriptedProvider(script), settings=call_limited()) as it:
        assert (await it.generate(a_roadmap(concepts))).status == "failed"
    assert set(seen) == {left_out}
    assert gc.get_freeze_count() == 0


def test_objects_frozen_by_other_code_stay_frozen() -> None:
    gc.freeze()
    try:
        with gc_frozen(LARGE):
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
