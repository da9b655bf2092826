"""New runs that take over the artifacts of unchanged concepts, and reuse within a tenant."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from paceline import Roadmap, RunConflict, Share, parse_roadmap
from paceline.client.run_request import RunRequest
from paceline.settings.model import ProviderSettings, RunSettings, Settings
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.store import MemoryStore

from tests.support.memory_worker import Rig, rig

STEPS = ["tutorial", "resources", "quiz"]


def edited(concepts: int = 6, **changes: object) -> Roadmap:
    """A roadmap in which concepts have other fields, by id; ``None`` removes the concept."""
    members: list[dict[str, object]] = []
    for number in range(concepts):
        change: Any = changes.pop(f"c{number}", {})
        if change is not None:
            concept = {"concept_id": f"c{number}", "name": f"Concept {number}", "level": 1}
            members.append(concept | change)
    members += [{"concept_id": id_, "name": "New"} for id_ in changes.pop("added", ())]  # type: ignore[attr-defined]
    module = {"module_id": "m", "name": changes.pop("module", "M"), "concepts": members}
    stage = {"stage_id": "s", "name": "S", "modules": [module]}
    data = {"roadmap_id": "r", "title": changes.pop("title", "R"), "stages": [stage]}
    assert not changes
    return parse_roadmap(data, source="r")


def settings(**run: object) -> Settings:
    """Settings with the three built-in steps."""
    run_settings = RunSettings.model_validate({"steps": STEPS, **run})
    return Settings(strategy=["unbounded"], run=run_settings)


async def adopted(it: Rig, roadmap: Roadmap, **given: Any) -> Counter[str]:
    """Submit with ``adopt`` and work on the run; returns the calls by step."""
    it.provider.requests.clear()
    run, _ = await it.client.submit(roadmap, adopt=True, **given)
    await it.worker.run(run.run_id)
    assert (await it.store.run(run.run_id)).status == "completed"
    return Counter(request.step for request in it.provider.requests)


@virtual_time
async def test_only_changed_and_added_concepts_are_made() -> None:
    async with rig(settings=settings()) as it:
        first = await it.generate(edited())
        roadmap = edited(c1={"name": "Other"}, c4=None, added=["n"])
        plan = await it.client.adoption(roadmap, RunRequest())
        assert (plan.changed, plan.added, plan.removed) == (["c1"], ["n"], ["c4"])
        assert (len(plan.to_make), len(plan.copies)) == (6, 12)
        assert await adopted(it, roadmap) == {"tutorial": 2, "resources": 2, "quiz": 2}
        (newest, *_) = await it.client.runs()
        assert (newest.completed, newest.total) == (6, 6)
        spent = (await it.store.spending(newest.run_id)).total
        assert spent.attempts == 6, "what was taken over is not paid again"
        (copy,) = await it.store.artifacts(newest.run_id, concept_id="c0", step="quiz")
        (original,) = await it.store.artifacts(first.run_id, concept_id="c0", step="quiz")
        assert (copy.content, copy.adopted_from) == (original.content, first.run_id)
        assert (await it.store.run(first.run_id)).status == "completed"


@virtual_time
async def test_three_edited_concepts_of_many_cost_nine_calls() -> None:
    async with rig(settings=settings()) as it:
        await it.generate(edited(227))
        changes = {f"c{number}": {"level": 2} for number in (3, 100, 226)}
        assert sum((await adopted(it, edited(227, **changes))).values()) == 9


@virtual_time
async def test_another_prompt_of_the_last_step_makes_only_that_step(tmp_path: Path) -> None:
    prompt = tmp_path / "quiz.md"
    prompt.write_text("Write a quiz about $concept.")
    store = MemoryStore()
    async with rig(settings=settings(), store=store) as it:
        await it.generate(edited())
    changed = settings().model_copy(update={"prompts": {"quiz": prompt}})
    async with rig(settings=changed, store=store) as it:
        with pytest.raises(RunConflict):
            await it.client.submit(edited(title="Other"))
        assert await adopted(it, edited()) == {"quiz": 6}
        assert await adopted(it, edited()) == {}, "the newest run has it all"


@virtual_time
async def test_what_was_made_from_a_changed_step_is_made_again(tmp_path: Path) -> None:
    prompt = tmp_path / "tutorial.md"
    prompt.write_text("Write about $concept.")
    store = MemoryStore()
    async with rig(settings=settings(), store=store) as it:
        await it.generate(edited())
    changed = settings().model_copy(update={"prompts": {"tutorial": prompt}})
    async with rig(settings=changed, store=store) as it:
        assert await adopted(it, edited()) == {"tutorial": 6, "resources": 6, "quiz": 6}


@pytest.mark.parametrize("what", ["model", "language", "context"])
@virtual_time
async def test_another_model_language_or_context_makes_everything(what: str) -> None:
    store = MemoryStore()
    async with rig(settings=settings(), store=store) as it:
        await it.generate(edited(2))
    provider = {"model": {"model": "other"}, "language": {"language": "de"}}.get(what, {})
    changed = settings().model_copy(update={"provider": ProviderSettings.model_validate(provider)})
    async with rig(settings=changed, store=store) as it:
        context = {"level": "beginner"} if what == "context" else None
        assert sum((await adopted(it, edited(2), context=context)).values()) == 6


@virtual_time
async def test_other_surroundings_and_another_order_of_fields_change_nothing() -> None:
    async with rig(settings=settings()) as it:
        await it.generate(edited())
        roadmap = edited(module="Other", title="Other", c0={"a": 1, "b": 2})
        assert sum((await adopted(it, roadmap)).values()) == 3
        reordered = edited(module="M", title="R", c0={"b": 2, "a": 1})
        assert sum((await adopted(it, reordered)).values()) == 0


@virtual_time
async def test_a_revised_artifact_is_taken_over_as_it_is() -> None:
    async with rig(settings=settings()) as it:
        first = await it.generate(edited())
        await it.client.revise(first.run_id, [("c0", "tutorial")], instruction="shorter")
        await it.worker.run(first.run_id)
        await adopted(it, edited(c1={"level": 2}))
        (newest, *_) = await it.client.runs()
        (copy,) = await it.store.artifacts(newest.run_id, concept_id="c0", step="tutorial")
        assert (copy.version, copy.instruction) == (1, "shorter")
        assert await it.client.select(newest.run_id, where="stale") == [
            ("c0", "resources"),
            ("c0", "quiz"),
        ]


@virtual_time
async def test_the_same_roadmap_continues_its_run() -> None:
    async with rig(settings=settings()) as it:
        run, _ = await it.client.submit(edited(), only=["concept:c0"])
        await it.worker.run(run.run_id)
        wider, submitted = await it.client.submit(edited(), adopt=True)
        assert (wider.run_id, submitted) == (run.run_id, "resumed")
        assert await adopted(it, edited()) == {"tutorial": 5, "resources": 5, "quiz": 5}
        same, submitted = await it.client.submit(edited(), adopt=True)
        assert (same.run_id, submitted) == (run.run_id, "complete")


@virtual_time
async def test_without_an_earlier_run_everything_is_made() -> None:
    async with rig(settings=settings()) as it:
        assert await adopted(it, edited(2)) == {"tutorial": 2, "resources": 2, "quiz": 2}


@virtual_time
async def test_a_part_of_the_roadmap_takes_over_that_part() -> None:
    async with rig(settings=settings()) as it:
        await it.generate(edited())
        made = await adopted(it, edited(c1={"level": 2}), only=["concept:c1", "concept:c2"])
        assert sum(made.values()) == 3
        (newest, *_) = await it.client.runs()
        assert newest.total == 2


@virtual_time
async def test_runs_of_a_tenant_reuse_equal_artifacts_only_if_that_is_set() -> None:
    for reuse, expected in (("off", 6), ("tenant", 3)):
        async with rig(settings=settings(reuse=reuse)) as it:
            run, _ = await it.client.submit(edited(1), share=Share("acme"))
            await it.worker.run(run.run_id)
            it.provider.requests.clear()
            wider = parse_roadmap(
                {**edited(2).model_dump(mode="json"), "roadmap_id": "another"}, source="r"
            )
            run, _ = await it.client.submit(wider, share=Share("acme"))
            await it.worker.run(run.run_id)
            assert len(it.provider.requests) == expected
            it.provider.requests.clear()
            other, _ = await it.client.submit(wider, share=Share("other"))
            await it.worker.run(other.run_id)
            assert len(it.provider.requests) == 6, "a tenant never gets what another one paid"
