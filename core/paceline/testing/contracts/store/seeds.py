"""Runs that begin with artifacts of other runs or from outside."""

import pytest

from paceline.contracts.share import Share
from paceline.contracts.storage.records import Run
from paceline.contracts.storage.seeds import Copy, Seeds
from paceline.contracts.storage.spending import Spent
from paceline.contracts.storage.store import Store
from paceline.contracts.storage.versions import Revision
from paceline.errors import RunInWork
from paceline.testing.contracts.contract import scenario
from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.inputs import (
    artifact,
    done,
    must_claim,
    roadmap,
    submitted,
)
from paceline.testing.contracts.store.scopes import statuses


async def generated(store: Store, *, tenant: str = "", cost: float | None = None) -> str:
    """A run with tutorials of ``c0`` and ``c1``, made from the inputs of their names."""
    run = await submitted(store, share=Share(tenant))
    claim = await must_claim(store, run.run_id)
    for concept_id in ("c0", "c1"):
        made = artifact(concept_id, content=f'"{concept_id}"', input_hash=concept_id, cost=cost)
        await store.save(claim, made, concept=done(concept_id))
    await store.finish(claim, "partial")
    return run.run_id


async def seeded(store: Store, seeds: Seeds, *, concepts: int = 3) -> Run:
    """A new run with these artifacts."""
    run, created = await store.create_run(
        roadmap(concepts=concepts), executor="in-process", new=True, seeds=seeds
    )
    assert created
    return run


class StoreSeeds(StoreScenarios):
    """Artifacts from elsewhere."""

    @scenario
    async def test_a_new_run_takes_over_artifacts_at_no_cost(self) -> None:
        store = await self.opened_store()
        source = await generated(store, cost=0.5)
        copies = tuple(Copy(source, concept_id, "tutorial") for concept_id in ("c0", "c1", "c9"))
        run = await seeded(store, Seeds(steps=("tutorial",), copies=copies))
        assert (run.status, run.completed, run.total) == ("queued", 2, 3)
        assert await statuses(store, run) == {
            "c0": "completed",
            "c1": "completed",
            "c2": "pending",
        }
        copy, _ = await store.artifacts(run.run_id)
        assert (copy.content, copy.adopted_from, copy.version) == ('"c0"', source, 1)
        assert (copy.input_hash, copy.cost) == ("c0", 0.0)
        spending = await store.spending(run.run_id)
        assert spending.total == Spent(cost=0.0), "it was paid by the other run"
        assert (await store.spending(source)).total.attempts == 2

    @scenario
    async def test_a_concept_that_lacks_a_step_stays_pending(self) -> None:
        store = await self.opened_store()
        copies = (Copy(await generated(store), "c0", "tutorial"),)
        run = await seeded(store, Seeds(steps=("tutorial", "quiz"), copies=copies))
        assert run.completed == 0
        assert await store.artifact_steps(run.run_id) == {"c0": frozenset({"tutorial"})}

    @scenario
    async def test_what_a_run_took_over_names_the_run_that_made_it(self) -> None:
        store = await self.opened_store()
        source = await generated(store)
        second = await seeded(store, Seeds(copies=(Copy(source, "c0", "tutorial"),)))
        third = await seeded(store, Seeds(copies=(Copy(second.run_id, "c0", "tutorial"),)))
        (copy,) = await store.artifacts(third.run_id)
        assert copy.adopted_from == source

    @scenario
    async def test_an_artifact_that_was_taken_over_can_be_revised_and_restored(self) -> None:
        store = await self.opened_store()
        copies = (Copy(await generated(store), "c0", "tutorial"),)
        run = await seeded(store, Seeds(steps=("tutorial",), copies=copies), concepts=1)
        request = Revision(concept_id="c0", step="tutorial")
        claim = await must_claim(store, run.run_id)
        await store.finish(claim, "completed")
        await store.request_revisions(run.run_id, [request], executor="in-process")
        assert (await store.run(run.run_id)).status == "queued"
        restored = await store.restore(run.run_id, "c0", "tutorial", 1)
        assert restored is not None
        assert restored.adopted_from is not None

    @scenario
    async def test_a_run_with_content_from_outside_is_paused_or_completed(self) -> None:
        store = await self.opened_store()
        for ids, status, reason in (
            (("c0",), "paused", "imported"),
            (("c0", "c1"), "completed", None),
        ):
            made = tuple(artifact(id_, attempts=0) for id_ in ids)
            seeds = Seeds(steps=("tutorial",), artifacts=made, paused="imported")
            run = await seeded(store, seeds, concepts=2)
            assert (run.status, run.reason, run.completed) == (status, reason, len(ids))
            assert (run.finished_at is not None) == (status == "completed")
            assert await store.claim(run.run_id, "worker", lease=30) is None
            assert await store.claim_next("in-process", "worker", lease=30) is None

    @scenario
    async def test_content_from_outside_becomes_the_current_version(self) -> None:
        store = await self.opened_store()
        run_id = await generated(store)
        made = [artifact(id_, content=f'"new {id_}"') for id_ in ("c0", "c2", "c9")]
        run = await store.add_artifacts(run_id, made, steps=["tutorial"])
        assert (run.status, run.completed) == ("completed", 3)
        first, second = await store.versions(run_id, "c0", "tutorial")
        assert (first.content, first.current) == ('"c0"', False)
        assert (second.content, second.current, second.version) == ('"new c0"', True, 2)
        (only,) = await store.versions(run_id, "c2", "tutorial")
        assert only.version == 1

    @scenario
    async def test_a_run_in_work_takes_no_content_from_outside(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        for _ in range(2):
            with pytest.raises(RunInWork, match=run.run_id):
                await store.add_artifacts(run.run_id, [artifact()], steps=["tutorial"])
            await store.claim(run.run_id, "worker", lease=30)
        assert await store.artifacts(run.run_id) == []

    @scenario
    async def test_artifacts_are_found_by_their_inputs_within_a_tenant(self) -> None:
        store = await self.opened_store()
        old, ours = await generated(store, tenant="acme"), await generated(store, tenant="acme")
        theirs = await generated(store, tenant="other")
        wanted = ["c0", "unknown"]
        assert await store.find_inputs(wanted, ["acme"]) == {"c0": Copy(ours, "c0", "tutorial")}
        assert await store.find_inputs(wanted, ["other"]) == {"c0": Copy(theirs, "c0", "tutorial")}
        assert await store.find_inputs(wanted, [""]) == {}
        assert old != ours
