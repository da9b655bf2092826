"""Runs of a part of a roadmap, and runs that get more steps or concepts later."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
from paceline.client.client import NothingToResume
from paceline.contracts.scope import Scope
from paceline.contracts.storage.records import Run
from paceline.errors import UsageError
from paceline.roadmaps.model import Roadmap, parse_roadmap
from paceline.settings.model import RunSettings, Settings
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.store import MemoryStore

from tests.support.memory_worker import Rig, rig


def two_stages() -> Roadmap:
    """A roadmap with the modules m0 and m1 in stage s0, and m2 in s1; two concepts in each."""

    def module(number: int) -> dict[str, object]:
        ids = [f"c{2 * number}", f"c{2 * number + 1}"]
        concepts = [{"concept_id": one, "name": f"Concept {one}"} for one in ids]
        return {"module_id": f"m{number}", "name": f"Module {number}", "concepts": concepts}

    stages = [
        {"stage_id": "s0", "name": "First", "modules": [module(0), module(1)]},
        {"stage_id": "s1", "name": "Second", "modules": [module(2)]},
    ]
    return parse_roadmap({"roadmap_id": "r", "title": "R", "stages": stages}, source="r")


ROADMAP = two_stages()
FIRST = ("first-module",)


def settings(*steps: str) -> Settings:
    """Settings with these steps."""
    return Settings(strategy=["unbounded"], run=RunSettings(steps=list(steps)))


async def worked(it: Rig, run_id: str) -> Run:
    """Work on a queued run."""
    await it.worker.run(run_id)
    return await it.store.run(run_id)


def calls_by_step(it: Rig) -> Counter[str]:
    """Number of calls of each step so far."""
    return Counter(request.step for request in it.provider.requests)


@pytest.mark.parametrize(
    ("only", "found"),
    [
        ((), "c0 c1 c2 c3 c4 c5"),
        (FIRST, "c0 c1"),
        (("module:m2", "concept:c0"), "c0 c4 c5"),
        (("stage:s0",), "c0 c1 c2 c3"),
        (("stage:s0", "module:m1", "first-module"), "c0 c1 c2 c3"),
    ],
)
def test_selectors_choose_concepts_in_the_order_of_the_roadmap(
    only: tuple[str, ...], found: str
) -> None:
    assert Scope(only=only).concepts_of(ROADMAP) == found.split()


@pytest.mark.parametrize(
    ("selector", "says"),
    [
        ("module:m9", "only: unknown module 'm9' (allowed: m0, m1, m2)"),
        ("concept:x", "only: unknown concept 'x' (allowed: c0, c1, c2, c3, c4, c5)"),
        ("stage:", "only: unknown stage '' (allowed: s0, s1)"),
        ("m0", "only must be stage:ID, module:ID, concept:ID or first-module, got 'm0'"),
        ("lesson:m0", "only must be stage:ID, module:ID, concept:ID or first-module, got 'less"),
    ],
)
def test_a_selector_of_nothing_is_an_error_that_names_what_is_allowed(
    selector: str, says: str
) -> None:
    with pytest.raises(UsageError) as refused:
        Scope(only=(selector,)).concepts_of(ROADMAP)
    assert str(refused.value).startswith(says)


@virtual_time
async def test_nothing_is_stored_for_a_submission_with_an_unknown_step_or_part() -> None:
    async with rig() as it:
        with pytest.raises(UsageError, match="unknown step 'quizz': did you mean 'quiz'"):
            await it.client.submit(ROADMAP, steps=["tutorial", "quizz"])
        with pytest.raises(UsageError, match="steps must name at least one step"):
            await it.client.submit(ROADMAP, steps=[])
        with pytest.raises(UsageError, match="got 'first'"):
            await it.client.submit(ROADMAP, only="first")
        with pytest.raises(UsageError, match="unknown module 'm7'"):
            await it.client.submit(ROADMAP, only=["module:m7"])
        assert await it.client.runs() == []


@virtual_time
async def test_the_first_module_is_generated_first_and_the_rest_of_the_roadmap_later() -> None:
    async with rig() as it:
        run, _ = await it.client.submit(ROADMAP, only=FIRST, steps=["tutorial"])
        run = await worked(it, run.run_id)
        assert (run.status, run.completed, run.total) == ("completed", 2, 2)
        assert calls_by_step(it) == {"tutorial": 2}
        last = (await it.events(run.run_id))[-1]
        assert (last.progress_current, last.progress_total) == (2, 2)
        again, what = await it.client.submit(ROADMAP, only=["module:m0"])
        assert (again.run_id, what, again.total) == (run.run_id, "complete", 2)

        wider, what = await it.client.submit(ROADMAP)
        assert (wider.run_id, what, wider.status) == (run.run_id, "resumed", "queued")
        assert (wider.completed, wider.total, wider.steps) == (2, 6, ("tutorial",))
        wider = await worked(it, run.run_id)
        assert (wider.status, wider.completed) == ("completed", 6)
        assert calls_by_step(it) == {"tutorial": 6}, "the first module was not generated again"

        _, what = await it.client.submit(ROADMAP)
        assert what == "complete"
        _, what = await it.client.submit(ROADMAP, steps=["quiz"])
        assert what == "resumed"
        wider = await worked(it, run.run_id)
        assert (wider.status, wider.steps) == ("completed", ("tutorial", "quiz"))
        assert calls_by_step(it) == {"tutorial": 6, "quiz": 6}
        quiz = it.provider.requests[-1].messages[-1].content
        assert "Summary of the tutorial: A summary." in quiz


@virtual_time
async def test_the_order_of_the_settings_counts_and_not_that_of_the_submission() -> None:
    async with rig() as it:
        run, _ = await it.client.submit(ROADMAP, steps=["quiz", "tutorial"], only=["concept:c1"])
        assert run.steps == ("tutorial", "quiz")
        await worked(it, run.run_id)
        assert [request.step for request in it.provider.requests] == ["tutorial", "quiz"]


@virtual_time
async def test_a_step_that_the_settings_get_later_is_made_for_finished_content() -> None:
    store = MemoryStore()
    async with rig(store=store, settings=settings("tutorial", "quiz")) as it:
        run = await it.generate(ROADMAP)
        assert (run.status, run.steps) == ("completed", None)
    async with rig(store=store, settings=settings("tutorial", "resources", "quiz")) as it:
        again, what = await it.client.submit(ROADMAP)
        assert (again.run_id, what, again.completed) == (run.run_id, "resumed", 0)
        again = await worked(it, run.run_id)
        assert (again.status, again.completed) == ("completed", 6)
        assert calls_by_step(it) == {"resources": 6}
        assert "Summary of the tutorial" in it.provider.requests[0].messages[-1].content
        _, what = await it.client.resume(run.run_id)
        assert what == "complete"


@virtual_time
async def test_resume_adds_steps_and_parts() -> None:
    async with rig() as it:
        run, _ = await it.client.submit(ROADMAP, only=FIRST, steps=["tutorial"])
        await worked(it, run.run_id)
        _, what = await it.client.resume(run.run_id)
        assert what == "complete", "without steps and parts, a resumed run keeps its scope"
        wider, what = await it.client.resume(run.run_id, steps=["quiz"], also=["concept:c5"])
        assert (what, wider.total) == ("resumed", 3)
        wider = await worked(it, run.run_id)
        assert (wider.status, wider.completed) == ("completed", 3)
        assert calls_by_step(it) == {"tutorial": 3, "quiz": 3}
        with pytest.raises(UsageError, match="unknown concept 'c6'"):
            await it.client.resume(run.run_id, also=["concept:c6"])
        with pytest.raises(UsageError, match="only='failed' adds no steps"):
            await it.client.resume(run.run_id, only="failed", steps=["quiz"])
        with pytest.raises(NothingToResume):
            await it.client.resume(run.run_id, only="failed")


@virtual_time
async def test_a_run_that_is_widened_while_a_worker_works_on_it_makes_the_rest_afterwards() -> None:
    async with rig() as it:
        run, _ = await it.client.submit(ROADMAP, only=FIRST, steps=["tutorial"])
        working = asyncio.create_task(it.worker.run(run.run_id))
        await asyncio.sleep(0.5)
        wider, what = await it.client.submit(ROADMAP, steps=["quiz"])
        assert (wider.status, what, wider.total) == ("running", "attached", 6)
        assert await working == "queued"
        wider = await worked(it, run.run_id)
        assert (wider.status, wider.completed) == ("completed", 6)
        assert calls_by_step(it) == {"tutorial": 6, "quiz": 6}
        events = await it.events(run.run_id)
        assert [event.status for event in events if event.terminal] == ["completed"]


@virtual_time
async def test_a_worker_without_a_step_of_the_run_fails_the_run_and_names_the_step() -> None:
    store = MemoryStore()
    async with rig(store=store) as it:
        run, _ = await it.client.submit(ROADMAP, steps=["tutorial", "resources"])
    async with rig(store=store, settings=settings("tutorial", "quiz")) as it:
        run = await worked(it, run.run_id)
        assert run.status == "failed"
        assert run.reason == (
            "the run needs 'resources', but run.steps of this worker has only: tutorial, quiz"
        )
        assert it.provider.requests == []


@pytest.mark.parametrize(
    ("widen", "expected"),
    [
        (lambda scope: scope.widened(), Scope(steps=("a",), only=("module:m",))),
        (lambda scope: scope.widened(only=[]), Scope(steps=("a",))),
        (
            lambda scope: scope.widened(steps=["b", "a"], only=["concept:c"]),
            Scope(steps=("a", "b"), only=("module:m", "concept:c")),
        ),
    ],
)
def test_a_scope_only_grows(widen: Callable[[Scope], Scope], expected: Scope) -> None:
    scope = Scope(steps=("a",), only=("module:m",))
    assert widen(scope) == expected
    assert Scope.from_json(expected.to_json()) == expected
    whole = Scope()
    assert whole.widened(steps=["a"], only=["module:m"]) == whole
    assert whole.to_json() is None
