"""Runs that are reopened, and runs that somebody cancels."""

from paceline.contracts.records import ConceptState
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.inputs import artifact, claimed, done, must_claim, submitted


class StoreEnds(StoreScenarios):
    """Runs, when they have ended."""

    @scenario
    async def test_reopening_an_ended_run_gives_its_failed_concepts_another_chance(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.save(claim, artifact("c0"), concept=done("c0"))
        failed = ConceptState(
            concept_id="c1", status="failed", reason="no", attempts=4, last_answer="?"
        )
        await store.save_concept(claim, failed)
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
    async def test_only_what_ended_unfinished_is_reopened(self) -> None:
        store = await self.opened_store()
        queued = await submitted(store, "queued")
        moved = await store.reopen(queued.run_id, executor="celery")
        assert (moved.status, moved.executor) == ("queued", "celery")
        assert await store.claim_next("in-process", "worker", lease=30) is None
        assert await store.claim_next("celery", "worker", lease=30) is not None
        before = await store.run(queued.run_id)
        assert await store.reopen(queued.run_id, executor="arq") == before
        whole = await claimed(store, "whole")
        await store.finish(whole, "completed")
        completed = await store.run(whole.run_id)
        assert await store.reopen(whole.run_id, executor="arq") == completed

    @scenario
    async def test_a_queued_run_is_cancelled_at_once_and_can_be_reopened(self) -> None:
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
    async def test_the_owner_of_a_running_run_is_asked_to_cancel_it(self) -> None:
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
    async def test_a_run_without_a_living_owner_is_cancelled_at_once(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await self.advance(31)
        assert (await store.request_cancel(claim.run_id)).status == "cancelled"
        assert await store.claim(claim.run_id, "other", lease=30) is None
