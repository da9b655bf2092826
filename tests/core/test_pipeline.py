"""One run, in order: the real pipeline in virtual time."""

import asyncio
from collections import Counter
from typing import NoReturn

import pytest
from paceline.contracts.provider import CompletionRequest
from paceline.errors import Fatal, PartUnavailable, ProviderUnusable, Refused, Transient
from paceline.settings.model import ProviderSettings, RunSettings, Settings
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.store import MemoryStore

from tests.support.memory_worker import a_roadmap, rig

CALL = 10.0


def steady(request: CompletionRequest, _: int) -> Reply:
    """Ten seconds a call."""
    return CALL, plain_answer(request.step)


def settings(**run: object) -> Settings:
    return Settings(strategy=["unbounded"], run=RunSettings.model_validate(run))


@virtual_time
async def test_every_concept_gets_its_three_artifacts() -> None:
    async with rig(ScriptedProvider(steady)) as it:
        run = await it.generate(a_roadmap(30))
        assert (run.status, run.completed, run.failed) == ("completed", 30, 0)
        steps = await it.store.artifact_steps(run.run_id)
        assert set(steps.values()) == {frozenset({"tutorial", "resources", "quiz"})}
        assert asyncio.get_running_loop().time() == pytest.approx(3 * CALL)
        assert it.provider.peak == 30


@virtual_time
async def test_per_roadmap_keeps_its_limit_for_each_run() -> None:
    async with rig(ScriptedProvider(steady), settings=Settings()) as it:
        async with asyncio.TaskGroup() as tasks:
            for name in ("one", "two"):
                tasks.create_task(it.generate(a_roadmap(10, name)))
        assert it.provider.peak == 2 * 5
        assert asyncio.get_running_loop().time() == pytest.approx(2 * 3 * CALL)


@virtual_time
async def test_global_limits_the_calls_of_all_runs_together() -> None:
    chosen = Settings(strategy=["global"], strategies={"global": {"concurrency": 4}})
    async with rig(ScriptedProvider(steady), settings=chosen) as it:
        async with asyncio.TaskGroup() as tasks:
            for name in ("one", "two"):
                tasks.create_task(it.generate(a_roadmap(10, name)))
        assert it.provider.peak == 4
        assert len(it.provider.requests) == 60


@virtual_time
async def test_a_limit_of_calls_also_limits_the_waiting_concepts() -> None:
    chosen = Settings(strategy=["global"], strategies={"global": {"concurrency": 4}})
    async with rig(ScriptedProvider(steady), settings=chosen) as it:
        working = asyncio.create_task(it.generate(a_roadmap(500)))
        await asyncio.sleep(5 * CALL)
        assert it.worker.parts.gauges.concepts <= 32 + 4 + 4 * 5
        working.cancel()
        await asyncio.wait({working})


@virtual_time
async def test_a_failed_concept_has_its_reason_and_the_others_continue() -> None:
    def script(request: CompletionRequest, _: int) -> Reply:
        if "Concept 1\n" in request.messages[-1].content and request.step == "resources":
            return 1.0, Fatal("the model does not want to")
        return steady(request, 0)

    async with rig(ScriptedProvider(script)) as it:
        run = await it.generate(a_roadmap(4))
        assert (run.status, run.completed, run.failed) == ("partial", 3, 1)
        states = {one.concept_id: one for one in await it.store.concepts(run.run_id)}
        assert states["c1"].reason == "the model does not want to"
        assert states["c1"].attempts == 2
        [kept] = await it.store.artifacts(run.run_id, concept_id="c1")
        assert kept.step == "tutorial"


@virtual_time
async def test_resuming_generates_only_what_is_missing() -> None:
    broken = True

    def script(request: CompletionRequest, _: int) -> Reply:
        if broken and request.step == "quiz":
            return 1.0, Fatal("no quizzes today")
        return steady(request, 0)

    async with rig(ScriptedProvider(script)) as it:
        run = await it.generate(a_roadmap(5))
        assert run.status == "failed"
        assert run.reason == "5 of 5 concepts failed"
        broken = False
        again = await it.generate(a_roadmap(5))
        assert (again.run_id, again.status) == (run.run_id, "completed")
        assert Counter(request.step for request in it.provider.requests) == {
            "tutorial": 5,
            "resources": 5,
            "quiz": 10,
        }
        assert (await it.client.submit(a_roadmap(5)))[1] == "complete"


@virtual_time
async def test_an_unusable_provider_fails_the_run_immediately_with_one_reason() -> None:
    provider = ScriptedProvider(lambda *_: (1.0, ProviderUnusable("the key is wrong")))
    async with rig(provider, settings=Settings()) as it:
        run = await it.generate(a_roadmap(50))
        assert (run.status, run.reason, run.failed) == ("failed", "the key is wrong", 0)
        assert len(provider.requests) == 5


@virtual_time
async def test_a_transient_failure_is_retried_a_limited_number_of_times() -> None:
    def script(request: CompletionRequest, ordinal: int) -> Reply:
        return (1.0, Transient("cut")) if ordinal <= 3 else steady(request, ordinal)

    async with rig(ScriptedProvider(script)) as it:
        run = await it.generate(a_roadmap(1))
        assert run.status == "completed"
        [first, *_] = await it.store.artifacts(run.run_id, step="tutorial")
        assert first.attempts == 4
    async with rig(ScriptedProvider(lambda *_: (1.0, Transient("cut")))) as it:
        run = await it.generate(a_roadmap(1))
        [state] = await it.store.concepts(run.run_id)
        assert state.reason == "4 attempts failed, the last: cut"


@virtual_time
async def test_a_refusal_waits_for_its_retry_after_and_counts_as_no_attempt() -> None:
    def script(request: CompletionRequest, ordinal: int) -> Reply:
        return (0.0, Refused("full", 30.0)) if ordinal <= 6 else steady(request, ordinal)

    async with rig(ScriptedProvider(script)) as it:
        run = await it.generate(a_roadmap(1))
        assert run.status == "completed"
        [first, *_] = await it.store.artifacts(run.run_id, step="tutorial")
        assert first.attempts == 1
        assert asyncio.get_running_loop().time() >= 6 * 30 + 3 * CALL


@virtual_time
async def test_endless_refusals_fail_after_the_patience() -> None:
    chosen = Settings(strategy=["unbounded"], provider=ProviderSettings(patience=100.0))

    provider = ScriptedProvider(lambda *_: (0.0, Refused("full")))
    async with rig(provider, settings=chosen) as it:
        run = await it.generate(a_roadmap(1))
        assert run.status == "failed"
        assert "longer than provider.patience" in (run.reason or "")
        [state] = await it.store.concepts(run.run_id)
        assert state.status == "pending"
        assert asyncio.get_running_loop().time() <= 100


@virtual_time
async def test_an_invalid_answer_is_repaired_once() -> None:
    def script(request: CompletionRequest, _: int) -> Reply:
        if request.step == "quiz" and len(request.messages) < 4:
            return 1.0, '{"questions": []}'
        return steady(request, 0)

    async with rig(ScriptedProvider(script)) as it:
        run = await it.generate(a_roadmap(1))
        assert run.status == "completed"
        told = it.provider.requests[-1].messages[-1].content
        assert "questions must have at least 1 item" in told


@virtual_time
async def test_an_answer_that_stays_invalid_fails_its_concept_and_is_stored() -> None:
    async with rig(ScriptedProvider(lambda *_: (1.0, "I would rather talk"))) as it:
        run = await it.generate(a_roadmap(3))
        assert run.status == "failed"
        for state in await it.store.concepts(run.run_id):
            assert "malformed answer" in (state.reason or "")
            assert state.last_answer == "I would rather talk"
        assert len(it.provider.requests) == 2 * 3


@virtual_time
async def test_progress_increases_and_the_end_is_the_last_event() -> None:
    async with rig(ScriptedProvider(steady)) as it:
        run = await it.generate(a_roadmap(7))
        events = await it.events(run.run_id)
        assert events[0].type == "content_generation_snapshot"
        assert [event.offset for event in events] == list(range(1, len(events) + 1))
        counts = [event.progress_current for event in events]
        assert counts == sorted(counts)
        assert counts[-1] == 7
        assert events[-1].type == "content_generation_finished"
        assert Counter(event.status for event in events)["completed"] == 7 + 1


@virtual_time
async def test_a_drained_run_saves_its_calls_in_flight_and_returns_to_the_queue() -> None:
    async with rig(ScriptedProvider(steady), settings=Settings()) as it:
        run, _ = await it.client.submit(a_roadmap(20))
        working = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(CALL / 2)
        await it.worker.drain(grace=60.0)
        assert await working == "queued"
        assert asyncio.get_running_loop().time() == pytest.approx(CALL)
        steps = await it.store.artifact_steps(run.run_id)
        assert len(steps) == 5
        assert len(it.provider.requests) == 5


@virtual_time
async def test_serving_ends_if_it_is_cancelled_just_as_a_run_ends() -> None:
    async with rig() as it:
        serving = asyncio.create_task(it.worker.serve(only=["another-run"]))
        await asyncio.sleep(0.1)
        run, _ = await it.client.submit(a_roadmap(1))
        await it.worker.run(run.run_id)
        serving.cancel()
        await asyncio.wait({serving}, timeout=10)
        assert serving.cancelled()


@virtual_time
async def test_a_store_that_rejects_heartbeats_is_reported_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def full(*_: object, **__: object) -> NoReturn:
        raise PartUnavailable("the disk is full")

    clock = asyncio.get_running_loop()
    async with rig() as it:
        began = clock.time()
        cut_off = asyncio.create_task(it.worker.heartbeat.until_cut_off(120))
        await asyncio.sleep(300)
        assert not cut_off.done()
        monkeypatch.setattr(MemoryStore, "beat", full)
        with pytest.raises(PartUnavailable, match="the disk is full"):
            await cut_off
        seconds = clock.time() - began - 300
    assert 110 < seconds < 130


@virtual_time
async def test_a_deadline_requeues_a_run_with_progress_and_fails_one_without() -> None:
    async with rig(ScriptedProvider(steady), settings=settings(deadline=CALL * 1.5)) as it:
        run = await it.generate(a_roadmap(3))
        assert run.status == "queued"
        assert len(await it.store.artifacts(run.run_id)) == 3
    async with rig(ScriptedProvider(steady), settings=settings(deadline=CALL / 2)) as it:
        run = await it.generate(a_roadmap(3))
        assert run.status == "failed"
        assert "before it saved an artifact" in (run.reason or "")


@virtual_time
async def test_cancelling_reaches_the_worker_within_a_heartbeat_and_stops_all_calls() -> None:
    async with rig(ScriptedProvider(steady), settings=Settings()) as it:
        run, _ = await it.client.submit(a_roadmap(50))
        working = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(CALL / 2)
        await it.client.cancel(run.run_id)
        assert await working == "cancelled"
        assert asyncio.get_running_loop().time() <= CALL / 2 + 5
        assert it.provider.in_flight == 0
        assert (await it.store.run(run.run_id)).status == "cancelled"


@virtual_time
async def test_a_run_delivered_twice_runs_once() -> None:
    async with rig(ScriptedProvider(steady)) as it:
        run, _ = await it.client.submit(a_roadmap(3))
        ends = await asyncio.gather(it.worker.run(run.run_id), it.worker.run(run.run_id))
        assert sorted(map(str, ends)) == ["None", "completed"]
        assert len(it.provider.requests) == 9
