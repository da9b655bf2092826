"""What runs cost."""

from paceline.contracts.storage.records import ConceptState, Figures
from paceline.contracts.storage.spending import RunSpending, Spent
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.store.base import StoreScenarios, refused
from paceline.testing.contracts.store.inputs import (
    LEASE,
    artifact,
    charge,
    claimed,
    must_claim,
    worker,
)

FAILED = ConceptState(concept_id="c0", status="failed", reason="no")


class StoreSpending(StoreScenarios):
    """Sums of what was paid, with and without a result."""

    @scenario
    async def test_spending_adds_up_attempts_tokens_and_cost(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        assert await store.spending(claim.run_id) == RunSpending()
        await store.save(claim, artifact("c0"), concept=None)
        once = Spent(attempts=1, prompt_tokens=10, completion_tokens=20)
        assert await store.spending(claim.run_id) == RunSpending(saved=once)
        await store.save(claim, artifact("c1", cost=0.5, estimated=True), concept=None)
        await store.save(claim, artifact("c2", cost=0.25), concept=None)
        assert (await store.spending(claim.run_id)).total == Spent(
            attempts=3, prompt_tokens=30, completion_tokens=60, cost=0.75, estimated=True
        )

    @scenario
    async def test_a_failed_concept_keeps_what_it_cost(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        spent = charge(attempts=2, cost=0.5)
        await store.save_concept(claim, FAILED, charge=spent)
        spending = await store.spending(claim.run_id)
        assert spending == RunSpending(unsaved=spent.spent)
        assert (await store.concepts(claim.run_id))[0].attempts == 2

    @scenario
    async def test_a_charge_replaces_the_earlier_one_of_its_step_and_claim(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.charge(claim, charge())
        await store.charge(claim, charge(attempts=2, prompt_tokens=30))
        await store.charge(claim, charge(step="quiz"))
        spending = await store.spending(claim.run_id)
        assert spending.unsaved == Spent(attempts=3, prompt_tokens=40, completion_tokens=10)

    @scenario
    async def test_an_artifact_includes_what_earlier_calls_of_its_step_cost(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.charge(claim, charge())
        await store.charge(claim, charge(step="quiz"))
        await store.save(claim, artifact(attempts=2), concept=None)
        spending = await store.spending(claim.run_id)
        assert spending.saved == Spent(attempts=2, prompt_tokens=10, completion_tokens=20)
        assert spending.unsaved == charge(step="quiz").spent

    @scenario
    async def test_what_a_later_claim_generates_again_is_a_duplicate(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.charge(claim, charge())
        await store.charge(claim, charge("c1"))
        await store.hand_back(claim)
        again = await must_claim(store, claim.run_id)
        await store.save(again, artifact(), concept=None)
        spending = await store.spending(claim.run_id)
        assert spending.unsaved == charge().spent + charge("c1").spent
        assert spending.duplicates == charge().spent

    @scenario
    async def test_attempts_of_a_concept_count_all_claims(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.save(claim, artifact(attempts=2), concept=None)
        await store.save_concept(claim, FAILED, charge=charge(step="quiz", attempts=3))
        await store.finish(claim, "failed")
        await store.reopen(claim.run_id, executor="in-process")
        assert (await store.concepts(claim.run_id))[0].attempts == 5
        again = await must_claim(store, claim.run_id)
        completed = ConceptState(concept_id="c0", status="completed")
        await store.save(again, artifact(step="quiz"), concept=completed)
        assert (await store.concepts(claim.run_id))[0].attempts == 6

    @when("clock")
    @scenario
    async def test_a_claim_that_lost_its_run_still_records_what_it_spent(self) -> None:
        store = await self.opened_store()
        old = await claimed(store, "a", "slow")
        await self.advance(31)
        new = await must_claim(store, old.run_id)
        await refused(old, "save", store.save(old, artifact("c1"), concept=None))
        await refused(old, "save_concept", store.save_concept(old, FAILED, charge=charge()))
        await store.charge(old, charge("c2"))
        await store.save(new, artifact("c1"), concept=None)
        spending = await store.spending(old.run_id)
        assert spending.unsaved.attempts == 3
        assert spending.duplicates == Spent(attempts=1, prompt_tokens=10, completion_tokens=20)
        assert (await store.concepts(old.run_id))[0].status == "pending"

    @scenario
    async def test_calls_in_flight_of_a_lost_worker_are_charged_as_an_estimate(self) -> None:
        store = await self.opened_store()
        await store.register(worker("me"))
        claim = await claimed(store, worker_id="me")
        spent = Spent(attempts=4, prompt_tokens=400, cost=0.5, estimated=True)
        figures = Figures(runs=(claim.run_id,), in_flight={claim.run_id: spent})
        await store.beat("me", figures, lease=LEASE)
        (orphan,) = await store.orphans()
        assert await store.requeue_orphan(orphan, poison_after=3) == "queued"
        spending = await store.spending(claim.run_id)
        assert (spending.unsaved, spending.duplicates) == (spent, spent)

    @when("clock")
    @scenario
    async def test_the_time_of_a_run_excludes_pauses_and_waits(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await self.advance(10)
        assert 10 <= (await store.run(claim.run_id)).seconds < 15
        await store.hand_back(claim)
        await self.advance(100)
        again = await must_claim(store, claim.run_id)
        await self.advance(10)
        await store.finish(again, "completed")
        await self.advance(100)
        assert 20 <= (await store.run(claim.run_id)).seconds < 25

    @when("clock")
    @scenario
    async def test_the_time_of_a_lost_worker_ends_with_its_last_beat(self) -> None:
        store = await self.opened_store()
        await store.register(worker("me"))
        claim = await claimed(store, worker_id="me")
        await self.advance(10)
        await store.beat("me", Figures(runs=(claim.run_id,)), lease=LEASE)
        await self.advance(100)
        (orphan,) = await store.orphans()
        await store.requeue_orphan(orphan, poison_after=3)
        assert 10 <= (await store.run(claim.run_id)).seconds < 15
