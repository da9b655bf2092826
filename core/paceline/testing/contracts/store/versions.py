"""Versions of artifacts: requested, saved in one step, listed and restored."""

import pytest

from paceline.contracts.storage.records import ConceptState, Replaced
from paceline.contracts.storage.spending import Spent
from paceline.contracts.storage.store import Store
from paceline.contracts.storage.versions import Revision
from paceline.errors import StaleFence
from paceline.testing.contracts.contract import scenario
from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.inputs import artifact, charge, claimed, done, must_claim
from paceline.testing.contracts.store.scopes import statuses


async def finished(store: Store, *steps: str) -> str:
    """A completed run with these artifacts of the concept ``c0``; returns its id."""
    claim = await claimed(store, concepts=1)
    for step in steps:
        await store.save(claim, artifact(step=step, content=f'"{step} 1"'), concept=done())
    await store.finish(claim, "completed")
    return claim.run_id


async def revised(store: Store, run_id: str, content: str, step: str = "tutorial") -> None:
    """Request and save another version of an artifact of ``c0``; the run ends."""
    await store.request_revisions(
        run_id, [Revision(concept_id="c0", step=step)], executor="in-process"
    )
    claim = await must_claim(store, run_id)
    (request,) = await store.revisions(run_id)
    made = artifact(step=step, content=content)
    replaced = Replaced(revision=request.number)
    await store.save(claim, made, concept=done(), replaced=replaced)
    await store.finish(claim, "completed")


async def contents(store: Store, run_id: str, step: str = "tutorial") -> dict[int, str]:
    """The content of each version by its number."""
    return {one.version: one.content for one in await store.versions(run_id, "c0", step)}


async def current(store: Store, run_id: str, step: str = "tutorial") -> tuple[int, str, int]:
    """Version, content and number of changes of the current version."""
    (listed,) = [one for one in await store.versions(run_id, "c0", step) if one.current]
    (read,) = await store.artifacts(run_id, concept_id="c0", step=step)
    assert read == listed, "readers must see the current version"
    return read.version, read.content, read.changes


class StoreVersions(StoreScenarios):
    """Versions and revisions."""

    @scenario
    async def test_a_request_queues_an_ended_run_and_keeps_the_current_version(self) -> None:
        store = await self.opened_store()
        run_id = await finished(store, "tutorial", "quiz")
        request = Revision(
            concept_id="c0", step="quiz", instruction="ü 中", tenant="acme", requested_by="Ann"
        )
        run = await store.request_revisions(run_id, [request], executor="other")
        assert (run.status, run.executor, run.finished_at) == ("queued", "other", None)
        assert await statuses(store, run) == {"c0": "pending"}
        assert await current(store, run_id, "quiz") == (1, '"quiz 1"', 1)
        (found,) = await store.revisions(run_id)
        assert (found.place, found.instruction, found.tenant) == (("c0", "quiz"), "ü 中", "acme")
        assert (found.requested_by, found.number) == ("Ann", 1)
        assert found.requested_at is not None

    @scenario
    async def test_a_new_version_replaces_the_current_one_which_is_kept(self) -> None:
        store = await self.opened_store()
        run_id = await finished(store, "tutorial")
        await revised(store, run_id, '"tutorial 2"')
        await revised(store, run_id, '"tutorial 3"')
        assert await current(store, run_id) == (3, '"tutorial 3"', 3)
        assert await contents(store, run_id) == {
            1: '"tutorial 1"',
            2: '"tutorial 2"',
            3: '"tutorial 3"',
        }
        assert await store.revisions(run_id) == []
        assert (await store.run(run_id)).completed == 1
        spending = await store.spending(run_id)
        assert (spending.saved.attempts, spending.saved.tokens) == (3, 90)
        state = await store.concept(run_id, "c0")
        assert state is not None
        assert state.attempts == 3

    @scenario
    async def test_a_version_keeps_who_asked_and_what_it_was_made_from(self) -> None:
        store = await self.opened_store()
        run_id = await finished(store, "tutorial")
        await store.request_revisions(
            run_id, [Revision(concept_id="c0", step="tutorial")], executor="in-process"
        )
        claim = await must_claim(store, run_id)
        made = artifact(
            content='"2"',
            instruction="shorter",
            tenant="acme",
            requested_by="Ann",
            prompt_hash="p",
            input_hash="i",
            model="other",
        )
        await store.save(claim, made, concept=done(), replaced=Replaced(revision=1))
        _, second = await store.versions(run_id, "c0", "tutorial")
        assert (second.instruction, second.tenant, second.requested_by) == (
            *("shorter", "acme", "Ann"),
        )
        assert (second.prompt_hash, second.input_hash, second.model) == ("p", "i", "other")
        (mark,) = await store.marks(run_id)
        assert (mark.place, mark.version) == (("c0", "tutorial"), 2)
        assert (mark.model, mark.stale, mark.input_hash) == ("other", False, "i")
        assert await store.marks(run_id, concepts=["c0", "none"]) == [mark]
        assert await store.marks(run_id, concepts=["c1"]) == []

    @scenario
    async def test_a_second_save_for_one_request_adds_no_version(self) -> None:
        store = await self.opened_store()
        run_id = await finished(store, "tutorial")
        request = Revision(concept_id="c0", step="tutorial")
        await store.request_revisions(run_id, [request], executor="in-process")
        claim = await must_claim(store, run_id)
        for content in ('"2"', '"again"'):
            await store.save(
                claim,
                artifact(content=content),
                concept=done(),
                replaced=Replaced(revision=1),
            )
        assert await current(store, run_id) == (2, '"2"', 2)
        assert (await store.spending(run_id)).total.attempts == 3, "what was paid must count"

    @scenario
    async def test_a_request_that_replaces_another_is_fulfilled_by_the_next_claim(self) -> None:
        store = await self.opened_store()
        run_id = await finished(store, "tutorial")
        first, second = (
            Revision(concept_id="c0", step="tutorial", instruction=text) for text in ("a", "b")
        )
        await store.request_revisions(run_id, [first], executor="in-process")
        claim = await must_claim(store, run_id)
        await store.request_revisions(run_id, [second], executor="in-process")
        await store.save(
            claim, artifact(content='"a"'), concept=done(), replaced=Replaced(revision=1)
        )
        assert await current(store, run_id) == (1, '"tutorial 1"', 1)
        (left,) = await store.revisions(run_id)
        assert (left.instruction, left.number) == ("b", 2)
        assert await store.finish(claim, "completed") == "queued"
        await must_claim(store, run_id)
        assert await statuses(store, await store.run(run_id)) == {"c0": "pending"}

    @scenario
    async def test_a_failed_or_cancelled_revision_leaves_the_old_version_in_place(self) -> None:
        store = await self.opened_store()
        run_id = await finished(store, "tutorial")
        await store.request_revisions(
            run_id, [Revision(concept_id="c0", step="tutorial")], executor="in-process"
        )
        claim = await must_claim(store, run_id)
        failed = ConceptState(concept_id="c0", status="failed", reason="no")
        await store.save_concept(claim, failed, charge=charge(attempts=2))
        await store.finish(claim, "failed")
        assert await current(store, run_id) == (1, '"tutorial 1"', 1)
        spending = await store.spending(run_id)
        assert spending.unsaved.attempts == 2
        assert spending.duplicates == Spent(), "another version was paid, not the same one again"
        await store.request_cancel(run_id)
        assert len(await store.revisions(run_id)) == 1, "resume must make it"
        await store.reopen(run_id, executor="in-process")
        assert await must_claim(store, run_id)
        assert await statuses(store, await store.run(run_id)) == {"c0": "pending"}

    @scenario
    async def test_a_request_while_the_run_is_in_work_is_not_lost(self) -> None:
        store, other = await self.processes(2)
        claim = await claimed(store, concepts=1)
        await store.save(claim, artifact(), concept=None)
        request = Revision(concept_id="c0", step="tutorial")
        run = await other.request_revisions(claim.run_id, [request], executor="other")
        assert run.status == "running"
        await store.save(claim, artifact(step="quiz"), concept=done())
        assert await store.finish(claim, "completed") == "queued"
        await must_claim(store, claim.run_id)
        assert await statuses(store, run) == {"c0": "pending"}

    @scenario
    async def test_a_request_makes_only_its_concepts_and_leaves_others_to_resume(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store, concepts=3)
        await store.save(claim, artifact("c0"), concept=done("c0"))
        await store.request_cancel(claim.run_id)
        await store.finish(claim, "cancelled")
        request = Revision(concept_id="c0", step="tutorial")
        run = await store.request_revisions(claim.run_id, [request], executor="in-process")
        assert (run.status, run.cancel_requested) == ("queued", False)
        assert await statuses(store, run) == {"c0": "pending", "c1": "skipped", "c2": "skipped"}

    @scenario
    async def test_a_request_for_a_missing_artifact_makes_its_first_version(self) -> None:
        store = await self.opened_store()
        run_id = await finished(store, "tutorial")
        await revised(store, run_id, '"quiz"', "quiz")
        assert await current(store, run_id, "quiz") == (1, '"quiz"', 1)

    @scenario
    async def test_a_paused_run_stays_paused(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store, concepts=1)
        await store.save(claim, artifact(), concept=done())
        await store.request_pause(claim.run_id, "no")
        assert await store.hand_back(claim) == "paused"
        request = Revision(concept_id="c0", step="tutorial")
        run = await store.request_revisions(claim.run_id, [request], executor="in-process")
        assert (run.status, run.reason) == ("paused", "no")

    @scenario
    async def test_a_new_version_makes_what_was_made_from_the_old_one_stale(self) -> None:
        store = await self.opened_store()
        run_id = await finished(store, "tutorial", "quiz")
        for step, stale in (("tutorial", ("quiz", "missing")), ("quiz", ())):
            await store.request_revisions(
                run_id, [Revision(concept_id="c0", step=step)], executor="in-process"
            )
            claim = await must_claim(store, run_id)
            replaced = Replaced(revision=1, stale=stale)
            await store.save(claim, artifact(step=step), concept=done(), replaced=replaced)
            await store.finish(claim, "completed")
            marked = {one.step: one.stale for one in await store.marks(run_id)}
            assert marked == {"tutorial": False, "quiz": step == "tutorial"}

    @scenario
    async def test_an_older_version_can_be_made_current_again(self) -> None:
        store = await self.opened_store()
        run_id = await finished(store, "tutorial", "quiz")
        await revised(store, run_id, '"tutorial 2"')
        await store.request_revisions(
            run_id, [Revision(concept_id="c0", step="tutorial")], executor="in-process"
        )
        restored = await store.restore(run_id, "c0", "tutorial", 1, stale=("quiz",))
        assert restored is not None
        assert (restored.version, restored.content) == (1, '"tutorial 1"')
        assert await current(store, run_id) == (1, '"tutorial 1"', 3)
        assert await store.revisions(run_id) == [], "the request must be removed"
        assert {one.step: one.stale for one in await store.marks(run_id)}["quiz"]
        assert await store.restore(run_id, "c0", "tutorial", 9) is None
        assert await store.restore(run_id, "c9", "tutorial", 1) is None
        assert await current(store, run_id) == (1, '"tutorial 1"', 3)
        claim = await must_claim(store, run_id)
        await store.finish(claim, "completed")
        await revised(store, run_id, '"tutorial 3"')
        assert await current(store, run_id) == (3, '"tutorial 3"', 4)
        assert sorted(await contents(store, run_id)) == [1, 2, 3]

    @scenario
    async def test_a_stale_owner_writes_no_version(self) -> None:
        store, other = await self.processes(2)
        run_id = await finished(store, "tutorial")
        await store.request_revisions(
            run_id, [Revision(concept_id="c0", step="tutorial")], executor="in-process"
        )
        old = await must_claim(store, run_id)
        await store.hand_back(old)
        await must_claim(other, run_id, "other")
        with pytest.raises(StaleFence):
            await store.save(old, artifact(), concept=None, replaced=Replaced(revision=1))
        assert await current(other, run_id) == (1, '"tutorial 1"', 1)
        assert len(await other.revisions(run_id)) == 1
