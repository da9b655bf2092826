"""Each run has one owner: claims, fences and leases."""

import asyncio
from dataclasses import replace

import pytest

from paceline.contracts.storage.records import Claim, Figures, RunStatus
from paceline.errors import StaleFence
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.store.base import StoreScenarios, assert_stale
from paceline.testing.contracts.store.inputs import (
    LEASE,
    artifact,
    claimed,
    done,
    must_claim,
    submitted,
    worker,
)


class StoreOwnership(StoreScenarios):
    """Runs while a worker owns them."""

    @scenario
    async def test_a_claim_starts_the_run_and_raises_its_fence(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        claim = await store.claim(run.run_id, "me", lease=LEASE)
        assert claim == Claim(run_id=run.run_id, roadmap_id="r", worker_id="me", fence=1)
        running = await store.run(run.run_id)
        assert (running.status, running.owner, running.fence) == ("running", "me", 1)
        assert running.started_at is not None
        assert running.started_at >= running.created_at

    @scenario
    async def test_a_run_delivered_many_times_is_claimed_once(self) -> None:
        one, two = await self.processes(2)
        run = await submitted(one)
        claims = await asyncio.gather(
            *(
                store.claim(run.run_id, f"w{n}", lease=LEASE)
                for n in range(10)
                for store in (one, two)
            )
        )
        owners = [claim.worker_id for claim in claims if claim is not None]
        assert len(owners) == 1, f"two owners: {owners} claimed one run"
        assert (await one.run(run.run_id)).fence == 1

    @scenario
    async def test_concurrent_claims_get_different_runs_oldest_first(self) -> None:
        one, two = await self.processes(2)
        waiting = [(await submitted(one, f"r{n}")).run_id for n in range(6)]
        claims = await asyncio.gather(
            *(store.claim_next("in-process", "w", lease=LEASE) for store in (one, two) * 2)
        )
        taken = {claim.run_id for claim in claims if claim is not None}
        assert len(taken) == len(claims) - claims.count(None), "two owners of one run"
        assert taken <= set(waiting)
        while (claim := await one.claim_next("in-process", "w", lease=LEASE)) is not None:
            assert claim.run_id == min(set(waiting) - taken)
            taken.add(claim.run_id)
        assert taken == set(waiting)

    @scenario
    async def test_only_runs_of_the_executor_and_of_the_given_ids_are_claimed(self) -> None:
        store = await self.opened_store()
        first, second = [(await submitted(store, name)).run_id for name in ("a", "b")]
        assert await store.claim_next("celery", "w", lease=LEASE) is None
        assert await store.claim_next("in-process", "w", lease=LEASE, only=[]) is None
        many = [f"unknown-{n}" for n in range(2500)]
        claim = await store.claim_next("in-process", "w", lease=LEASE, only=[second, *many])
        assert claim is not None
        assert claim.run_id == second
        assert await store.claim_next("in-process", "w", lease=LEASE, only=[second]) is None
        assert (await store.run(first)).status == "queued"

    @when("clock")
    @scenario
    async def test_a_lapsed_run_is_taken_over_and_its_first_owner_writes_no_more(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store, worker_id="slow")
        await store.save(claim, artifact("c0"), concept=done("c0"))
        assert await store.claim(claim.run_id, "other", lease=LEASE) is None
        await self.advance(31)
        # No other worker has claimed the run yet.
        await store.save(claim, artifact("c1"), concept=done("c1"))
        taken = await must_claim(store, claim.run_id, "other")
        assert taken.fence == 2
        await assert_stale(store, claim)
        await store.save(taken, artifact("c2"), concept=done("c2"))
        assert (await store.run(claim.run_id)).completed == 3

    @scenario
    async def test_only_the_current_fence_writes(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await assert_stale(store, replace(claim, fence=0))
        await assert_stale(store, replace(claim, fence=2))
        await assert_stale(store, replace(claim, worker_id="other"))
        await store.finish(claim, "completed")
        with pytest.raises(StaleFence):
            await store.save(claim, artifact(), concept=None)

    @scenario
    async def test_a_claim_on_a_queued_or_unknown_run_writes_nothing(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        claim = Claim(run_id=run.run_id, roadmap_id="r", worker_id="worker", fence=0)
        await assert_stale(store, claim)
        with pytest.raises(StaleFence):
            await store.save(replace(claim, run_id="nope"), artifact(), concept=None)

    @scenario
    async def test_finishing_ends_the_run_for_good(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.finish(claim, "partial", "1 of 3 concepts failed")
        run = await store.run(claim.run_id)
        assert (run.status, run.reason, run.owner) == ("partial", "1 of 3 concepts failed", None)
        assert run.finished_at is not None
        with pytest.raises(StaleFence):
            await store.finish(claim, "completed")
        assert await store.claim(claim.run_id, "other", lease=LEASE) is None
        assert (await store.run(claim.run_id)).status == "partial"

    @scenario
    async def test_a_run_cannot_end_with_a_status_of_an_unfinished_run(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        unfinished: tuple[RunStatus, ...] = ("queued", "running")
        for status in unfinished:
            with pytest.raises(ValueError, match=status):
                await store.finish(claim, status)

    @scenario
    async def test_handing_a_run_back_queues_it_with_the_reason(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.hand_back(claim, "the deadline passed")
        run = await store.run(claim.run_id)
        assert (run.status, run.reason, run.owner) == ("queued", "the deadline passed", None)
        await assert_stale(store, claim)
        again = await store.claim_next("in-process", "other", lease=LEASE)
        assert again is not None
        assert again.fence == 2
        assert (await store.run(claim.run_id)).reason is None
        await assert_stale(store, claim)

    @scenario
    async def test_a_run_with_a_cancel_request_is_not_queued_again(self) -> None:
        store = await self.opened_store()
        first, second = await claimed(store, "a"), await claimed(store, "b")
        for claim in (first, second):
            await store.request_cancel(claim.run_id)
        await store.hand_back(first)
        assert (await store.run(first.run_id)).status == "cancelled"
        (orphan,) = await store.orphans(run_id=second.run_id)
        assert await store.requeue_orphan(orphan, poison_after=3) == "cancelled"

    @when("clock")
    @scenario
    async def test_a_beat_renews_leases_and_reports_cancel_requests(self) -> None:
        store = await self.opened_store()
        await store.register(worker("me"))
        kept, unwanted = await claimed(store, "a", "me"), await claimed(store, "b", "me")
        foreign = await claimed(store, "c", "other")
        await store.request_cancel(unwanted.run_id)
        runs = (kept.run_id, unwanted.run_id, foreign.run_id, "unknown")
        await self.advance(20)
        beat = await store.beat("me", Figures(runs=runs), lease=LEASE)
        assert beat.cancelled == {unwanted.run_id}
        assert beat.lost == {foreign.run_id, "unknown"}
        await self.advance(20)
        assert await store.claim(kept.run_id, "third", lease=LEASE) is None
        assert await store.claim(foreign.run_id, "heir", lease=LEASE) is not None

    @when("clock")
    @scenario
    async def test_a_late_beat_renews_the_lease_unless_the_run_was_claimed(self) -> None:
        store = await self.opened_store()
        await store.register(worker("me"))
        kept, taken = await claimed(store, "a", "me"), await claimed(store, "b", "me")
        await self.advance(31)
        await must_claim(store, taken.run_id, "heir")
        beat = await store.beat("me", Figures(runs=(kept.run_id, taken.run_id)), lease=LEASE)
        assert beat.lost == {taken.run_id}
        assert await store.claim(kept.run_id, "heir", lease=LEASE) is None
        await store.save(kept, artifact(), concept=None)
