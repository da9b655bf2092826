"""Runs that are resumed, and runs that are cancelled."""

from dataclasses import replace

from paceline.contracts.storage.records import Claim, ConceptState, ConceptStatus
from paceline.contracts.storage.store import Store
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.inputs import artifact, claimed, done, must_claim, submitted

FAILED = ConceptState(concept_id="c1", status="failed", reason="no", last_answer="?")


async def ended(store: Store) -> Claim:
    """A partial run with a completed, two failed and a pending concept; the second is FAILED."""
    claim = await claimed(store, concepts=4)
    await store.save(claim, artifact("c0"), concept=done("c0"))
    await store.save_concept(claim, FAILED)
    await store.save_concept(claim, replace(FAILED, concept_id="c2"))
    await store.finish(claim, "partial", "2 of 4 concepts failed")
    return claim


async def statuses(store: Store, claim: Claim) -> list[ConceptStatus]:
    """The status of each concept of a claim's run."""
    return [state.status for state in await store.concepts(claim.run_id)]


class StoreEnds(StoreScenarios):
    """Runs after their end."""

    @scenario
    async def test_resuming_an_ended_run_makes_its_failed_concepts_pending(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.save(claim, artifact("c0"), concept=done("c0"))
        await store.save_concept(claim, FAILED)
        await store.finish(claim, "partial", "1 of 3 concepts failed")
        run = await store.reopen(claim.run_id, executor="arq")
        assert (run.status, run.executor, run.reason, run.finished_at) == (
            "queued",
            "arq",
            None,
            None,
        )
        assert (run.completed, run.failed) == (1, 0)
        states = await store.concepts(claim.run_id)
        assert states[0] == done("c0")
        assert states[1] == ConceptState(concept_id="c1", status="pending")
        assert (await must_claim(store, claim.run_id)).fence == 2

    @scenario
    async def test_only_runs_that_ended_unfinished_are_resumed(self) -> None:
        store = await self.opened_store()
        queued = await submitted(store, "queued")
        moved = await store.reopen(queued.run_id, executor="celery")
        assert (moved.status, moved.executor) == ("queued", "celery")
        assert await store.claim_next("in-process", "worker", lease=30) is None
        assert await store.claim_next("celery", "worker", lease=30) is not None
        before = await store.run(queued.run_id)
        assert await store.reopen(queued.run_id, executor="arq") == before
        full = await claimed(store, "full")
        await store.finish(full, "completed")
        completed = await store.run(full.run_id)
        assert await store.reopen(full.run_id, executor="arq") == completed

    @scenario
    async def test_resuming_only_failed_concepts_skips_the_pending_ones(self) -> None:
        store = await self.opened_store()
        claim = await ended(store)
        run = await store.reopen(claim.run_id, executor="in-process", only="failed")
        assert (run.status, run.completed, run.failed) == ("queued", 1, 0)
        assert await statuses(store, claim) == ["completed", "pending", "pending", "skipped"]
        assert (await store.concepts(claim.run_id))[1] == ConceptState(
            concept_id="c1", status="pending"
        )

    @scenario
    async def test_resuming_only_missing_concepts_leaves_the_failed_ones(self) -> None:
        store = await self.opened_store()
        claim = await ended(store)
        before = await store.concepts(claim.run_id)
        run = await store.reopen(claim.run_id, executor="in-process", only="missing")
        assert (run.status, run.completed, run.failed) == ("queued", 1, 2)
        assert await store.concepts(claim.run_id) == before

    @scenario
    async def test_skipped_concepts_stay_skipped_until_they_are_resumed(self) -> None:
        store = await self.opened_store()
        claim = await ended(store)
        await store.reopen(claim.run_id, executor="in-process", only="failed")
        again = await must_claim(store, claim.run_id)
        await store.save_concept(again, FAILED)
        await store.finish(again, "partial", "1 of 4 concepts failed")
        await store.reopen(claim.run_id, executor="in-process", only="failed")
        assert await statuses(store, claim) == ["completed", "pending", "skipped", "skipped"]
        again = await must_claim(store, claim.run_id)
        await store.save_concept(again, FAILED)
        await store.finish(again, "partial", "1 of 4 concepts failed")
        run = await store.reopen(claim.run_id, executor="in-process", only="missing")
        assert (run.completed, run.failed) == (1, 1)
        assert await statuses(store, claim) == ["completed", "failed", "pending", "pending"]

    @scenario
    async def test_resuming_without_a_filter_resets_failed_and_skipped_concepts(self) -> None:
        store = await self.opened_store()
        claim = await ended(store)
        await store.reopen(claim.run_id, executor="in-process", only="failed")
        again = await must_claim(store, claim.run_id)
        await store.save_concept(again, FAILED)
        await store.finish(again, "partial", "1 of 4 concepts failed, 1 of 4 concepts skipped")
        run = await store.reopen(claim.run_id, executor="in-process")
        assert (run.status, run.completed, run.failed) == ("queued", 1, 0)
        assert await statuses(store, claim) == ["completed", "pending", "pending", "pending"]

    @scenario
    async def test_a_filter_does_not_change_a_queued_running_or_completed_run(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        assert await store.reopen(run.run_id, executor="in-process", only="failed") == run
        claim = await must_claim(store, run.run_id)
        running = await store.run(run.run_id)
        assert await store.reopen(run.run_id, executor="in-process", only="failed") == running
        assert await statuses(store, claim) == ["pending"] * 3
        await store.finish(claim, "completed")
        completed = await store.run(run.run_id)
        assert await store.reopen(run.run_id, executor="in-process", only="failed") == completed
        assert await statuses(store, claim) == ["pending"] * 3

    @scenario
    async def test_a_queued_run_is_cancelled_at_once_and_can_be_resumed(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        cancelled = await store.request_cancel(run.run_id)
        assert cancelled.status == "cancelled"
        assert cancelled.finished_at is not None
        assert await store.claim(run.run_id, "worker", lease=30) is None
        assert await store.claim_next("in-process", "worker", lease=30) is None
        assert await store.request_cancel(run.run_id) == cancelled
        again = await store.reopen(run.run_id, executor="in-process")
        assert (again.status, again.cancel_requested) == ("queued", False)
        await must_claim(store, run.run_id)

    @scenario
    async def test_cancelling_a_running_run_is_requested_from_its_owner(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        run = await store.request_cancel(claim.run_id)
        assert (run.status, run.cancel_requested, run.owner) == ("running", True, "worker")
        await store.save(claim, artifact(), concept=None)
        await store.finish(claim, "cancelled", "asked to")
        ended = await store.run(claim.run_id)
        assert (ended.status, ended.reason, ended.owner) == ("cancelled", "asked to", None)
        assert (await store.request_cancel(claim.run_id)) == ended

    @when("clock")
    @scenario
    async def test_a_run_without_a_live_owner_is_cancelled_at_once(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await self.advance(31)
        assert (await store.request_cancel(claim.run_id)).status == "cancelled"
        assert await store.claim(claim.run_id, "other", lease=30) is None
