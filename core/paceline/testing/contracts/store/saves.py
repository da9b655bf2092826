"""A saved artifact stays saved once, even if the caller is cancelled."""

import asyncio
from dataclasses import replace
from datetime import UTC

from paceline.contracts.storage.records import ConceptState
from paceline.errors import StaleFence
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.inputs import artifact, claimed, done, must_claim


class StoreSaves(StoreScenarios):
    """Artifacts and the states of concepts."""

    @scenario
    async def test_an_artifact_is_read_as_it_was_saved(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        content = '{"text": "ü 中 😀 \\u0000 %s :name \\\\"}'
        given = artifact("c1", "quiz", content=content, cost=0.25, seconds=12.5, attempts=3)
        given = replace(given, fallback="model strong has no credit")
        await store.save(claim, given, concept=None)
        (found,) = await store.artifacts(claim.run_id)
        assert found.created_at is not None
        assert found.created_at.tzinfo == UTC
        assert replace(found, created_at=None) == given

    @scenario
    async def test_saving_again_changes_nothing(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.save(claim, artifact(content="1"), concept=None)
        await asyncio.gather(
            *(store.save(claim, artifact(content=f"{n}"), concept=None) for n in range(2, 5))
        )
        found = await store.artifacts(claim.run_id)
        assert [made.content for made in found] == ["1"], (
            "saved twice: only the first artifact of a concept and step must be kept"
        )

    @scenario
    async def test_an_artifact_and_its_concept_are_saved_together(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.save(claim, artifact("c1"), concept=done("c1"))
        assert (await store.concepts(claim.run_id))[1] == done("c1")
        failed = ConceptState(concept_id="c2", status="failed", reason="no", last_answer="Sorry")
        await store.save_concept(claim, failed)
        assert (await store.concepts(claim.run_id))[2] == failed

    @scenario
    async def test_artifacts_are_found_by_concept_and_step_in_the_roadmaps_order(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store, concepts=12)
        for concept in ("c10", "c2"):
            for step in ("tutorial", "resources", "quiz"):
                await store.save(claim, artifact(concept, step), concept=None)
        every = await store.artifacts(claim.run_id)
        assert [made.concept_id for made in every] == ["c2"] * 3 + ["c10"] * 3
        assert {made.step for made in every[:3]} == {"tutorial", "resources", "quiz"}
        assert [made.concept_id for made in await store.artifacts(claim.run_id, step="quiz")] == [
            "c2",
            "c10",
        ]
        one = await store.artifacts(claim.run_id, concept_id="c10", step="tutorial")
        assert [(made.concept_id, made.step) for made in one] == [("c10", "tutorial")]
        assert await store.artifact_steps(claim.run_id) == {
            "c10": {"tutorial", "resources", "quiz"},
            "c2": {"tutorial", "resources", "quiz"},
        }

    @when("clock")
    @scenario
    async def test_stale_members_of_a_batch_are_dropped_alone(self) -> None:
        store = await self.opened_store()
        old = await claimed(store, "a", "slow")
        await self.advance(31)
        new = await must_claim(store, old.run_id)
        other = await claimed(store, "b")
        answers = await asyncio.gather(
            store.save(old, artifact("c0", content="old"), concept=done("c0")),
            store.save(new, artifact("c0", content="new"), concept=done("c0")),
            store.save(other, artifact("c0"), concept=None),
            store.save_concept(old, ConceptState(concept_id="c1", status="failed")),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [
            StaleFence,
            type(None),
            type(None),
            StaleFence,
        ]
        (found,) = await store.artifacts(old.run_id)
        assert found.content == "new"
        assert (await store.concepts(old.run_id))[1].status == "pending"
        assert len(await store.artifacts(other.run_id)) == 1

    @scenario
    async def test_cancelling_a_caller_does_not_undo_its_save(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store, concepts=60)
        saves = [
            asyncio.create_task(store.save(claim, artifact(f"c{n}"), concept=done(f"c{n}")))
            for n in range(60)
        ]
        for n, task in enumerate(saves):
            if n % 20 == 0:
                await asyncio.sleep(0)
            task.cancel()
        answers = await asyncio.gather(*saves, return_exceptions=True)
        assert {type(answer) for answer in answers} <= {asyncio.CancelledError, type(None)}
        # Some were cancelled before they started. Every save that started is complete.
        saved = set(await store.artifact_steps(claim.run_id))
        states = await store.concepts(claim.run_id)
        assert saved == {state.concept_id for state in states if state.status == "completed"}
        assert len(saved) >= 20
        # No cancelled save is still in progress.
        await store.finish(claim, "cancelled")
        assert set(await store.artifact_steps(claim.run_id)) == saved
