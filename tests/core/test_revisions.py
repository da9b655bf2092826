"""Artifacts that are made again: what is called, what the model sees, and what readers see."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from paceline import Claim, Message, NoOptions, Register, Step, StepContext, Subject, hookimpl
from paceline.client.content.revising import NoSuchVersion
from paceline.contracts.provider import CompletionRequest
from paceline.errors import Fatal, UsageError
from paceline.settings.model import RunSettings, Settings
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.store import MemoryStore
from pydantic import BaseModel

from tests.support.memory_worker import Rig, a_roadmap, rig

STEPS = Settings(strategy=["unbounded"], run=RunSettings(steps=["tutorial", "resources", "quiz"]))


async def generated(it: Rig, concepts: int = 3) -> str:
    """A completed run; the calls so far are forgotten."""
    run = await it.generate(a_roadmap(concepts))
    assert run.status == "completed"
    it.provider.requests.clear()
    return run.run_id


def calls(it: Rig) -> Counter[str]:
    """Number of calls by step."""
    return Counter(request.step for request in it.provider.requests)


async def worked(it: Rig, run_id: str) -> str:
    """Work on a queued run; returns its status."""
    await it.worker.run(run_id)
    return (await it.store.run(run_id)).status


async def current(it: Rig, run_id: str, concept_id: str, step: str) -> int:
    """Number of the current version."""
    (found,) = await it.store.artifacts(run_id, concept_id=concept_id, step=step)
    return found.version


@virtual_time
async def test_one_revision_makes_one_call() -> None:
    async with rig(settings=STEPS) as it:
        run_id = await generated(it, 20)
        _, places = await it.client.revise(run_id, [("c7", "tutorial")])
        assert places == [("c7", "tutorial")]
        assert await worked(it, run_id) == "completed"
        assert calls(it) == {"tutorial": 1}
        assert await current(it, run_id, "c7", "tutorial") == 2
        assert await current(it, run_id, "c7", "quiz") == 1


@virtual_time
async def test_the_model_sees_the_current_text_and_the_instruction() -> None:
    async with rig(settings=STEPS) as it:
        run_id = await generated(it)
        (before,) = await it.store.artifacts(run_id, concept_id="c1", step="tutorial")
        await it.client.revise(run_id, [("c1", "tutorial")], instruction="Use Go.")
        await worked(it, run_id)
        (request,) = it.provider.requests
        *_, shown, wish = request.messages
        assert shown == Message("assistant", before.content)
        assert wish.role == "user"
        assert wish.content.endswith("What to change:\nUse Go.")
        first, second = await it.client.versions(run_id, "c1", "tutorial")
        assert (first.instruction, second.instruction) == (None, "Use Go.")
        assert first.prompt_hash != second.prompt_hash
        assert first.input_hash == second.input_hash


@virtual_time
async def test_what_was_made_from_it_is_stale_until_it_is_revised_too() -> None:
    async with rig(settings=STEPS) as it:
        run_id = await generated(it)
        await it.client.revise(run_id, [("c1", "tutorial")])
        await worked(it, run_id)
        stale = [("c1", "resources"), ("c1", "quiz")]
        assert await it.client.select(run_id, where="stale") == stale
        assert await it.client.select(run_id, step="quiz", where="stale") == stale[1:]
        await it.client.revise(run_id, stale)
        it.provider.requests.clear()
        await worked(it, run_id)
        assert calls(it) == {"resources": 1, "quiz": 1}
        assert await it.client.select(run_id, where="stale") == []


@virtual_time
async def test_downstream_makes_it_too_from_the_new_version() -> None:
    async with rig(settings=STEPS) as it:
        run_id = await generated(it)
        _, places = await it.client.revise(
            run_id, [("c1", "tutorial")], downstream=True, instruction="Use Go."
        )
        assert places == [("c1", "tutorial"), ("c1", "resources"), ("c1", "quiz")]
        assert await worked(it, run_id) == "completed"
        assert [request.step for request in it.provider.requests] == [
            "tutorial",
            "resources",
            "quiz",
        ]
        (first, *others) = it.provider.requests
        assert "Use Go." in first.messages[-1].content
        assert all("Use Go." not in one.messages[-1].content for one in others)
        assert await it.client.select(run_id, where="stale") == []


@virtual_time
async def test_a_revision_that_fails_leaves_the_old_version_and_resume_tries_again() -> None:
    broken = True

    def answer(request: CompletionRequest, _: int) -> Reply:
        if broken and len(request.messages) > 2:
            return 1.0, Fatal("no")
        return 1.0, plain_answer(request.step)

    async with rig(ScriptedProvider(answer), settings=STEPS) as it:
        run_id = await generated(it)
        await it.client.revise(run_id, [("c1", "quiz")])
        assert await worked(it, run_id) == "partial"
        assert await current(it, run_id, "c1", "quiz") == 1
        assert await it.client.select(run_id, where="failed") == [("c1", "quiz")]
        broken = False
        await it.client.resume(run_id)
        it.provider.requests.clear()
        assert await worked(it, run_id) == "completed"
        assert calls(it) == {"quiz": 1}
        assert await current(it, run_id, "c1", "quiz") == 2


@virtual_time
async def test_a_revision_is_withdrawn_by_restoring_the_current_version() -> None:
    async with rig(settings=STEPS) as it:
        run_id = await generated(it)
        await it.client.revise(run_id, [("c1", "quiz")])
        await it.client.restore(run_id, "c1", "quiz", 1)
        assert await worked(it, run_id) == "completed"
        assert calls(it) == {}


@virtual_time
async def test_a_restored_version_is_what_readers_see() -> None:
    async with rig(settings=STEPS) as it:
        run_id = await generated(it)
        await it.client.revise(run_id, [("c1", "tutorial")])
        await worked(it, run_id)
        restored = await it.client.restore(run_id, "c1", "tutorial")
        assert (restored.version, await current(it, run_id, "c1", "tutorial")) == (1, 1)
        assert (await it.client.restore(run_id, "c1", "tutorial")).version == 2
        with pytest.raises(NoSuchVersion) as refused:
            await it.client.restore(run_id, "c1", "tutorial", 3)
        assert str(refused.value) == (
            "tutorial of concept 'c1' does not have version 3 (versions: 1, 2)"
        )
        with pytest.raises(NoSuchVersion, match=r"does not have an older version \(versions: 1\)"):
            await it.client.restore(run_id, "c1", "quiz")


def slowly(request: CompletionRequest, _: int) -> Reply:
    """Answer after ten seconds."""
    return 10.0, plain_answer(request.step)


@virtual_time
async def test_a_request_for_a_run_in_work_is_made_after_its_present_part() -> None:
    async with rig(ScriptedProvider(slowly), settings=STEPS) as it:
        run, _ = await it.client.submit(a_roadmap(2))
        working = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(15)
        now, _ = await it.client.revise(run.run_id, [("c0", "tutorial")])
        assert now.status == "running"
        await working
        assert (await it.store.run(run.run_id)).status == "queued"
        it.provider.requests.clear()
        assert await worked(it, run.run_id) == "completed"
        assert calls(it) == {"tutorial": 1}


@virtual_time
async def test_concepts_that_a_cancelled_run_lacks_are_not_made_by_a_revision() -> None:
    async with rig(settings=STEPS) as it:
        run, _ = await it.client.submit(a_roadmap(4), only=["concept:c0"])
        await it.worker.run(run.run_id)
        await it.client.submit(a_roadmap(4))
        await it.client.cancel(run.run_id)
        it.provider.requests.clear()
        await it.client.revise(run.run_id, [("c0", "quiz")])
        await worked(it, run.run_id)
        assert calls(it) == {"quiz": 1}
        await it.client.resume(run.run_id)
        assert await worked(it, run.run_id) == "completed"
        assert calls(it) == {"tutorial": 3, "resources": 3, "quiz": 4}


@virtual_time
async def test_artifacts_of_one_model_are_selected() -> None:
    async with rig(settings=STEPS) as it:
        run_id = await generated(it, 2)
        (model,) = {mark.model for mark in await it.store.marks(run_id)}
        assert await it.client.select(run_id, step="quiz", where=f"model={model}") == [
            ("c0", "quiz"),
            ("c1", "quiz"),
        ]
        assert await it.client.select(run_id, where="model=other") == []


@pytest.mark.parametrize("where", ["", "old", "stale=1", "model=", "model"])
@virtual_time
async def test_an_unknown_condition_is_refused(where: str) -> None:
    async with rig(settings=STEPS) as it:
        run_id = await generated(it, 1)
        with pytest.raises(UsageError, match=r"^where must be stale, failed or model=NAME, got "):
            await it.client.select(run_id, where=where)


@virtual_time
async def test_an_unknown_concept_or_step_is_refused_before_anything_is_requested() -> None:
    async with rig(settings=STEPS) as it:
        run_id = await generated(it)
        for places, says in (
            ([("c0", "quiz"), ("c9", "quiz")], "has no concept 'c9'"),
            ([("c0", "quizz")], "has no step 'quizz': did you mean 'quiz'?"),
        ):
            with pytest.raises(UsageError) as refused:
                await it.client.revise(run_id, places)
            assert says in str(refused.value)
        with pytest.raises(UsageError, match=r"^instruction must have 1 to 10000 characters"):
            await it.client.revise(run_id, [("c0", "quiz")], instruction=" ")
        assert await it.store.revisions(run_id) == []


class Text(BaseModel):
    """An answer."""

    text: str


class Searched(Step):
    """Records a search, and asks twice."""

    answer = Text
    searches = 0

    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        async def search() -> str:
            Searched.searches += 1
            return f"result {Searched.searches}"

        found = await ctx.once("search", search)
        seen.append((found, ctx.current, ctx.instruction))
        return Text(text=f"{subject.concept.name}: {found}")


seen: list[tuple[str, str | None, str | None]] = []


class _Plugin:
    @hookimpl
    def paceline_register_steps(self, register: Register[Step]) -> None:
        register("searched", lambda *_: Searched(), options=NoOptions, summary="Searches.")


@virtual_time
async def test_a_step_of_its_own_sees_the_current_version_and_searches_again() -> None:
    keeping = RunSettings(steps=["searched"], keep_journal=True)
    settings = Settings(strategy=["unbounded"], run=keeping)
    seen.clear()
    async with rig(settings=settings, plugins=[_Plugin()]) as it:
        run_id = await generated(it, 1)
        await it.client.revise(run_id, [("c0", "searched")], instruction="newer")
        assert await worked(it, run_id) == "completed"
        first, second = await it.client.versions(run_id, "c0", "searched")
        assert seen[1][1:] == (first.content, "newer")
        assert seen[0][0] != seen[1][0], "a journaled result of the old version must not be used"
        assert first.content != second.content


class LosesTheOwner(MemoryStore):
    """Another worker claims the run while the first revision is saved."""

    armed = False

    async def save(self, claim: Claim, *given: object, **named: object) -> None:
        if self.armed:
            self.armed = False
            await self.hand_back(claim)
            await self.claim(claim.run_id, "other", lease=30)
        await super().save(claim, *given, **named)  # type: ignore[arg-type]


@virtual_time
async def test_a_revision_of_a_lost_worker_is_made_by_the_next_one() -> None:
    store = LosesTheOwner()
    async with rig(settings=STEPS, store=store) as it:
        run_id = await generated(it)
        await it.client.revise(run_id, [("c1", "quiz")])
        store.armed = True
        await it.worker.run(run_id)
        assert await current(it, run_id, "c1", "quiz") == 1
        run = await store.run(run_id)
        owner = Claim(
            run_id=run_id, roadmap_id="r", worker_id="other", fence=run.fence, share=run.share
        )
        await store.hand_back(replace(owner))
        assert await worked(it, run_id) == "completed"
        assert await current(it, run_id, "c1", "quiz") == 2
