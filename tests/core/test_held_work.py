"""Pauses of everything, of a tenant, and of a model or resource."""

import asyncio

import pytest
from paceline import Share
from paceline.contracts.provider import CompletionRequest
from paceline.errors import NotAllowed, UsageError
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import virtual_time

from tests.support.memory_worker import Rig, a_roadmap, rig

CONCEPTS = 4


def slow(request: CompletionRequest, _ordinal: int) -> Reply:
    return 20.0, plain_answer(request.step)


async def started(it: Rig, name: str = "r", tenant: str = "") -> tuple[str, "asyncio.Task[None]"]:
    """A run that has calls in flight, and the worker that serves it."""
    run, _ = await it.client.submit(a_roadmap(CONCEPTS, name), share=Share(tenant))
    serving = asyncio.create_task(it.worker.serve())
    await asyncio.sleep(10)
    return run.run_id, serving


@pytest.mark.parametrize("target", ["everything", "key:scripted:scripted-1"])
@virtual_time
async def test_calls_in_flight_are_saved_and_no_other_starts_until_the_pause_is_lifted(
    target: str,
) -> None:
    async with rig(ScriptedProvider(slow)) as it:
        if target.startswith("key"):
            target = f"key:{it.worker.parts.key_of('tutorial')}"
        run_id, serving = await started(it)
        assert len(it.provider.requests) == CONCEPTS
        await it.client.pause_work(target, reason="maintenance", by="ops")
        await asyncio.sleep(500)
        assert len(it.provider.requests) == CONCEPTS
        assert len(await it.store.artifacts(run_id)) == CONCEPTS
        assert (await it.store.run(run_id)).status == "running"
        assert "paused by ops: maintenance" in it.worker.parts.explain_limits()
        await it.client.resume_work(target, by="ops")
        assert (await it.client.wait(run_id)).status == "completed"
        assert len(it.provider.requests) == 3 * CONCEPTS
        await it.worker.drain(0)
        await serving


@virtual_time
async def test_runs_of_a_paused_tenant_leave_the_worker_to_others_and_continue_by_themselves() -> (
    None
):
    async with rig(ScriptedProvider(slow)) as it:
        run_id, serving = await started(it, tenant="acme")
        await it.client.pause_work("tenant:acme", reason="unpaid", by="ops")
        later, _ = await it.client.submit(a_roadmap(2, "later"), share=Share("acme"))
        other, _ = await it.client.submit(a_roadmap(2, "other"), share=Share("rival"))
        assert (await it.client.wait(run_id)).reason == "tenant acme is paused by ops: unpaid"
        assert (await it.client.wait(other.run_id)).status == "completed"
        assert (await it.store.run(later.run_id)).status == "paused"
        assert len(await it.store.artifacts(run_id)) == CONCEPTS
        await it.client.resume_work("tenant:acme")
        await asyncio.sleep(1)
        for one, made in ((run_id, CONCEPTS), (later.run_id, 2)):
            assert (await it.client.wait(one)).status == "completed"
            assert len(await it.store.artifacts(one)) == 3 * made
        assert len(it.provider.requests) == 3 * (CONCEPTS + 2 + 2)
        await it.worker.drain(0)
        await serving


@virtual_time
async def test_a_pause_arrives_within_a_second_and_its_note_reaches_the_followers() -> None:
    async with rig(ScriptedProvider(slow)) as it:
        run_id, serving = await started(it)
        following = asyncio.create_task(it.events(run_id))
        for _ in range(3):
            await it.client.pause_work("everything", reason="why", by="ops")
            await asyncio.sleep(1)
            assert it.worker.parts.controls.now.all_paused
            await it.client.resume_work("everything", by="ops")
            await asyncio.sleep(1)
            assert not it.worker.parts.controls.now.pauses
        notes = [one.reason for one in await following if one.is_note]
        assert notes == ["everything is paused by ops: why", "everything is no longer paused"] * 3
        await it.worker.drain(0)
        await serving


@virtual_time
async def test_a_worker_that_starts_during_a_pause_starts_nothing() -> None:
    async with rig(ScriptedProvider(slow)) as it:
        await it.client.pause_work("everything")
    async with rig(ScriptedProvider(slow), store=it.store) as again:
        serving = asyncio.create_task(again.worker.serve())
        run, _ = await again.client.submit(a_roadmap(CONCEPTS))
        await asyncio.sleep(100)
        assert not again.provider.requests
        await again.client.resume_work("everything")
        assert (await again.client.wait(run.run_id)).status == "completed"
        await again.worker.drain(0)
        await serving


@virtual_time
async def test_each_change_has_a_line_in_the_audit_log() -> None:
    async with rig() as it:
        await it.client.pause_work("tenant:acme", reason="unpaid", by="alice")
        await it.client.resume_work("tenant:acme", by="bob")
        await it.client.resume_work("tenant:acme", by="bob")
        lines = await it.client.audit_log()
        assert [(one.by, one.action, one.subject, one.detail) for one in lines] == [
            ("bob", "resume", "tenant:acme", ""),
            ("alice", "pause", "tenant:acme", "unpaid"),
        ]
        assert all(one.at is not None for one in lines)
        assert len(await it.client.for_tenant("acme").audit_log()) == 2
        assert not await it.client.for_tenant("rival").audit_log()
        assert not await it.client.for_tenant("default").audit_log()


@virtual_time
async def test_a_tenant_pauses_itself_only_and_sees_no_other_pause() -> None:
    async with rig() as it:
        acme, rival = it.client.for_tenant("acme"), it.client.for_tenant("rival")
        for target in ("everything", "tenant:rival", "key:openai:gpt"):
            for steer in (acme.pause_work, acme.resume_work):
                with pytest.raises(NotAllowed, match="that tenant only"):
                    await steer(target)
        await acme.pause_work("tenant:acme")
        await it.client.pause_work("key:openai:gpt")
        seen = [str(one.target) for one in (await rival.controls()).pauses]
        assert seen == ["key:openai:gpt"]
        assert len((await acme.controls()).pauses) == 2


@pytest.mark.parametrize(
    "target", ["", "nothing", "everything:x", "tenant:", "tenant: x", "key:gpt", "key:a\n:b"]
)
@virtual_time
async def test_the_target_of_a_pause_is_checked(target: str) -> None:
    async with rig() as it:
        with pytest.raises(UsageError):
            await it.client.pause_work(target)
        with pytest.raises(UsageError, match="reason"):
            await it.client.pause_work("everything", reason="x" * 501)
