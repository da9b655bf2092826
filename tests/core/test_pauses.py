"""Runs that are paused: calls in flight are saved, and only a user's command continues them."""

import asyncio

from paceline.contracts.provider import CompletionRequest
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import virtual_time

from tests.support.memory_worker import a_roadmap, rig

CONCEPTS = 4


def slow(request: CompletionRequest, _ordinal: int) -> Reply:
    return 20.0, plain_answer(request.step)


@virtual_time
async def test_a_pause_saves_the_calls_in_flight_and_starts_no_more() -> None:
    async with rig(ScriptedProvider(slow)) as it:
        run, _ = await it.client.submit(a_roadmap(CONCEPTS))
        working = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(10)
        await it.client.pause(run.run_id, "budget")
        assert (await it.store.run(run.run_id)).status == "running"
        assert await working == "paused"
        paused = await it.store.run(run.run_id)
        assert (paused.status, paused.reason, paused.finished_at) == ("paused", "budget", None)
        assert len(await it.store.artifacts(run.run_id)) == len(it.provider.requests) == CONCEPTS


@virtual_time
async def test_a_paused_run_waits_for_the_command_that_resumes_it() -> None:
    async with rig(ScriptedProvider(slow)) as it:
        run, _ = await it.client.submit(a_roadmap(CONCEPTS))
        await it.client.pause(run.run_id)
        assert await it.worker.run(run.run_id) is None
        serving = asyncio.create_task(it.worker.serve())
        await asyncio.sleep(100)
        assert not it.provider.requests
        again, submitted = await it.client.submit(a_roadmap(CONCEPTS))
        assert (again.run_id, submitted) == (run.run_id, "resumed")
        assert (await it.client.wait(run.run_id)).status == "completed"
        await it.worker.drain(0)
        await serving


@virtual_time
async def test_followers_receive_the_pause_and_its_end() -> None:
    async with rig(ScriptedProvider(slow)) as it:
        run, _ = await it.client.submit(a_roadmap(CONCEPTS))
        following = asyncio.create_task(it.events(run.run_id))
        working = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(10)
        await it.client.pause(run.run_id, "by request")
        await working
        await it.client.resume(run.run_id)
        await it.worker.run(run.run_id)
        runs = [one for one in await following if one.concept_id is None]
        assert [(one.type, one.status, one.reason) for one in runs] == [
            ("content_generation_snapshot", "running", None),
            ("content_generation_snapshot", "paused", "by request"),
            ("content_generation_snapshot", "running", None),
            ("content_generation_finished", "completed", None),
        ]


@virtual_time
async def test_waiting_for_a_run_ends_when_it_is_paused() -> None:
    async with rig(ScriptedProvider(slow)) as it:
        run, _ = await it.client.submit(a_roadmap(CONCEPTS))
        waiting = asyncio.create_task(it.client.wait(run.run_id))
        await asyncio.sleep(1)
        await it.client.pause(run.run_id)
        assert (await waiting).status == "paused"


@virtual_time
async def test_the_time_of_a_run_does_not_include_its_pause() -> None:
    async with rig(ScriptedProvider(slow)) as it:
        run, _ = await it.client.submit(a_roadmap(CONCEPTS))
        working = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(10)
        await it.client.pause(run.run_id)
        await working
        await asyncio.sleep(1000)
        await it.client.resume(run.run_id)
        await it.worker.run(run.run_id)
        assert 60 <= (await it.store.run(run.run_id)).seconds < 70
