"""Resuming only the failed or only the missing concepts of a run."""

import asyncio

from paceline.contracts.provider import CompletionRequest
from paceline.contracts.storage.records import Run
from paceline.errors import Fatal
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import virtual_time

from tests.support.memory_worker import Rig, a_roadmap, rig

CONCEPTS = 10


class Flaky(ScriptedProvider):
    """Rejects the calls of one concept and delays those of two others, until it is repaired."""

    def __init__(self) -> None:
        super().__init__(self._script)
        self.repaired = False

    def _script(self, request: CompletionRequest, _: int) -> Reply:
        prompt = request.messages[-1].content
        if not self.repaired and "Concept 3\n" in prompt:
            return 1.0, Fatal("the model refuses")
        slow = not self.repaired and any(f"Concept {n}\n" in prompt for n in (8, 9))
        return (1000.0 if slow else 1.0), plain_answer(request.step)


async def cancelled_run(it: Rig) -> Run:
    """A cancelled run with 7 completed concepts, one failed and two missing."""
    run, _ = await it.client.submit(a_roadmap(CONCEPTS))
    working = asyncio.create_task(it.worker.run(run.run_id))
    await asyncio.sleep(60)
    await it.client.cancel(run.run_id)
    await working
    run = await it.store.run(run.run_id)
    assert (run.status, run.completed, run.failed) == ("cancelled", 7, 1)
    return run


@virtual_time
async def test_failed_only_leaves_the_run_partial_with_its_skipped_concepts() -> None:
    provider = Flaky()
    async with rig(provider) as it:
        run = await cancelled_run(it)
        provider.repaired = True
        calls = len(provider.requests)
        await it.client.resume(run.run_id, only="failed")
        assert await it.worker.run(run.run_id) == "partial"
        run = await it.store.run(run.run_id)
        assert (run.status, run.reason) == ("partial", "2 of 10 concepts skipped")
        assert (run.completed, run.failed) == (8, 0)
        assert len(provider.requests) == calls + 3
        skipped = await it.store.concepts(run.run_id, status=["skipped"])
        assert [state.concept_id for state in skipped] == ["c8", "c9"]

        await it.client.resume(run.run_id, only="missing")
        assert await it.worker.run(run.run_id) == "completed"
        assert (await it.store.run(run.run_id)).completed == CONCEPTS


@virtual_time
async def test_missing_only_leaves_the_failed_concepts_failed() -> None:
    provider = Flaky()
    async with rig(provider) as it:
        run = await cancelled_run(it)
        provider.repaired = True
        calls = len(provider.requests)
        await it.client.resume(run.run_id, only="missing")
        assert await it.worker.run(run.run_id) == "partial"
        run = await it.store.run(run.run_id)
        assert (run.status, run.reason) == ("partial", "1 of 10 concepts failed")
        assert (run.completed, run.failed) == (9, 1)
        assert len(provider.requests) == calls + 6


@virtual_time
async def test_a_plain_resume_generates_failed_and_skipped_concepts() -> None:
    provider = Flaky()
    async with rig(provider) as it:
        run = await cancelled_run(it)
        await it.client.resume(run.run_id, only="failed")
        assert await it.worker.run(run.run_id) == "partial"
        run = await it.store.run(run.run_id)
        assert run.reason == "1 of 10 concepts failed, 2 of 10 concepts skipped"
        provider.repaired = True
        await it.client.resume(run.run_id)
        assert await it.worker.run(run.run_id) == "completed"
        run = await it.store.run(run.run_id)
        assert (run.completed, run.failed) == (CONCEPTS, 0)


@virtual_time
async def test_a_run_that_its_worker_lost_and_claimed_again_stays_known_until_it_ends() -> None:
    def script(request: CompletionRequest, _: int) -> Reply:
        return 10.0, plain_answer(request.step)

    async with rig(ScriptedProvider(script)) as it:
        run, _ = await it.client.submit(a_roadmap(2))
        tasks: list[asyncio.Task[object]] = []
        for _ in range(2):
            claim = await it.store.claim(run.run_id, it.worker.record.worker_id, lease=30)
            assert claim is not None
            tasks.append(asyncio.create_task(it.worker.work_on(claim)))
            await asyncio.sleep(1)
            if len(tasks) == 1:
                await it.store.hand_back(claim)
        lost, kept = tasks
        assert await lost is None
        assert it.worker.parts.gauges.runs == {run.run_id}
        assert await kept == "completed"
        assert it.worker.parts.gauges.runs == set()
