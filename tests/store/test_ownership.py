"""One owner a run: claims, fences, leases, and what becomes of the runs of lost workers."""

import asyncio
from dataclasses import replace

import pytest
from paceline.errors import StaleFence
from paceline.identity import ProcessIdentity
from paceline.store import Claim, Figures, RunStatus, Store

from tests.store.places import (
    LEASE,
    Place,
    artifact,
    claimed,
    done,
    must_claim,
    on_loop,
    submitted,
    worker,
)


async def assert_stale(store: Store, claim: Claim) -> None:
    """Nothing can be written with this claim."""
    before = await store.run(claim.run_id), await store.artifact_steps(claim.run_id)
    with pytest.raises(StaleFence, match=claim.run_id):
        await store.save(claim, artifact("c2"), concept=done("c2"))
    with pytest.raises(StaleFence):
        await store.save_concept(claim, done("c2"))
    with pytest.raises(StaleFence):
        await store.finish(claim, "completed")
    await store.hand_back(claim)
    assert (await store.run(claim.run_id), await store.artifact_steps(claim.run_id)) == before


@on_loop
async def test_a_claim_makes_the_run_running_and_counts_as_its_fence(place: Place) -> None:
    async with place.store() as store:
        run = await submitted(store)
        claim = await store.claim(run.run_id, "me", lease=LEASE)
        assert claim == Claim(run_id=run.run_id, roadmap_id="r", worker_id="me", fence=1)
        running = await store.run(run.run_id)
        assert (running.status, running.owner, running.fence) == ("running", "me", 1)
        assert running.started_at is not None
        assert running.started_at >= running.created_at


@on_loop
async def test_a_run_delivered_many_times_is_claimed_once(place: Place) -> None:
    async with place.store("a") as one, place.store("b") as two:
        run = await submitted(one)
        claims = await asyncio.gather(
            *(
                store.claim(run.run_id, f"w{n}", lease=LEASE)
                for n in range(10)
                for store in (one, two)
            )
        )
        assert len([claim for claim in claims if claim is not None]) == 1
        assert (await one.run(run.run_id)).fence == 1


@on_loop
async def test_workers_that_ask_at_once_get_different_runs_oldest_first(place: Place) -> None:
    async with place.store("a") as one, place.store("b") as two:
        waiting = [(await submitted(one, f"r{n}")).run_id for n in range(6)]
        claims = await asyncio.gather(
            *(store.claim_next("in-process", "w", lease=LEASE) for store in (one, two) * 2)
        )
        taken = {claim.run_id for claim in claims if claim is not None}
        assert len(taken) == len([claim for claim in claims if claim is not None])
        assert taken <= set(waiting)
        while (claim := await one.claim_next("in-process", "w", lease=LEASE)) is not None:
            assert claim.run_id == min(set(waiting) - taken)
            taken.add(claim.run_id)
        assert taken == set(waiting)


@on_loop
async def test_only_runs_of_the_executor_and_of_the_given_ones_are_taken(place: Place) -> None:
    async with place.store() as store:
        first, second = [(await submitted(store, name)).run_id for name in ("a", "b")]
        assert await store.claim_next("celery", "w", lease=LEASE) is None
        assert await store.claim_next("in-process", "w", lease=LEASE, only=[]) is None
        many = [f"unknown-{n}" for n in range(2500)]
        claim = await store.claim_next("in-process", "w", lease=LEASE, only=[second, *many])
        assert claim is not None
        assert claim.run_id == second
        assert await store.claim_next("in-process", "w", lease=LEASE, only=[second]) is None
        assert (await store.run(first)).status == "queued"


@on_loop
async def test_a_lapsed_run_is_taken_over_and_its_first_owner_writes_no_more(place: Place) -> None:
    async with place.store() as store:
        claim = await claimed(store, worker_id="slow")
        await store.save(claim, artifact("c0"), concept=done("c0"))
        assert await store.claim(claim.run_id, "other", lease=LEASE) is None
        place.advance(31)
        await store.save(claim, artifact("c1"), concept=done("c1"))  # nobody came yet
        taken = await must_claim(store, claim.run_id, "other")
        assert taken.fence == 2
        await assert_stale(store, claim)
        await store.save(taken, artifact("c2"), concept=done("c2"))
        assert (await store.run(claim.run_id)).completed == 3


@on_loop
async def test_no_fence_but_the_present_one_writes(place: Place) -> None:
    async with place.store() as store:
        claim = await claimed(store)
        await assert_stale(store, replace(claim, fence=0))
        await assert_stale(store, replace(claim, fence=2))
        await assert_stale(store, replace(claim, worker_id="other"))
        await store.finish(claim, "completed")
        with pytest.raises(StaleFence):
            await store.save(claim, artifact(), concept=None)


@on_loop
async def test_nothing_is_written_by_a_claim_on_a_queued_or_unknown_run(place: Place) -> None:
    async with place.store() as store:
        run = await submitted(store)
        claim = Claim(run_id=run.run_id, roadmap_id="r", worker_id="worker", fence=0)
        await assert_stale(store, claim)
        with pytest.raises(StaleFence):
            await store.save(replace(claim, run_id="nope"), artifact(), concept=None)


@on_loop
async def test_finishing_ends_the_run_once_and_for_all(place: Place) -> None:
    async with place.store() as store:
        claim = await claimed(store)
        await store.finish(claim, "partial", "1 of 3 concepts failed")
        run = await store.run(claim.run_id)
        assert (run.status, run.reason, run.owner) == ("partial", "1 of 3 concepts failed", None)
        assert run.finished_at is not None
        with pytest.raises(StaleFence):
            await store.finish(claim, "completed")
        assert await store.claim(claim.run_id, "other", lease=LEASE) is None
        assert (await store.run(claim.run_id)).status == "partial"


@on_loop
@pytest.mark.parametrize("status", ["queued", "running"])
async def test_a_run_cannot_end_as_something_unfinished(place: Place, status: RunStatus) -> None:
    async with place.store() as store:
        claim = await claimed(store)
        with pytest.raises(ValueError, match=status):
            await store.finish(claim, status)


@on_loop
async def test_a_run_handed_back_is_queued_again_with_the_reason(place: Place) -> None:
    async with place.store() as store:
        claim = await claimed(store)
        await store.hand_back(claim, "the deadline passed")
        run = await store.run(claim.run_id)
        assert (run.status, run.reason, run.owner) == ("queued", "the deadline passed", None)
        await assert_stale(store, claim)
        again = await store.claim_next("in-process", "other", lease=LEASE)
        assert again is not None
        assert again.fence == 2
        assert (await store.run(claim.run_id)).reason is None


@on_loop
async def test_a_run_that_is_to_be_cancelled_is_not_queued_again(place: Place) -> None:
    async with place.store() as store:
        first, second = await claimed(store, "a"), await claimed(store, "b")
        for claim in (first, second):
            await store.request_cancel(claim.run_id)
        await store.hand_back(first)
        assert (await store.run(first.run_id)).status == "cancelled"
        (orphan,) = await store.orphans(run_id=second.run_id)
        assert await store.requeue_orphan(orphan, poison_after=3) == "cancelled"


# -- beats -------------------------------------------------------------------------------


@on_loop
async def test_a_beat_renews_leases_and_brings_cancel_requests(place: Place) -> None:
    async with place.store() as store:
        await store.register(worker("me"))
        kept, unwanted = await claimed(store, "a", "me"), await claimed(store, "b", "me")
        foreign = await claimed(store, "c", "other")
        await store.request_cancel(unwanted.run_id)
        runs = (kept.run_id, unwanted.run_id, foreign.run_id, "unknown")
        place.advance(20)
        beat = await store.beat("me", Figures(runs=runs), lease=LEASE)
        assert beat.cancelled == {unwanted.run_id}
        assert beat.lost == {foreign.run_id, "unknown"}
        place.advance(20)
        assert await store.claim(kept.run_id, "thief", lease=LEASE) is None
        assert await store.claim(foreign.run_id, "heir", lease=LEASE) is not None


@on_loop
async def test_a_late_beat_saves_the_lease_unless_somebody_came(place: Place) -> None:
    async with place.store() as store:
        await store.register(worker("me"))
        kept, taken = await claimed(store, "a", "me"), await claimed(store, "b", "me")
        place.advance(31)
        await must_claim(store, taken.run_id, "heir")
        beat = await store.beat("me", Figures(runs=(kept.run_id, taken.run_id)), lease=LEASE)
        assert beat.lost == {taken.run_id}
        assert await store.claim(kept.run_id, "heir", lease=LEASE) is None
        await store.save(kept, artifact(), concept=None)


# -- orphans -----------------------------------------------------------------------------


@on_loop
async def test_running_runs_are_listed_with_what_is_known_of_their_owners(place: Place) -> None:
    async with place.store() as store:
        identity = ProcessIdentity("elsewhere", 4711, 12345.5)
        await store.register(worker("known", identity=identity))
        older = await claimed(store, "a", "known")
        place.advance(5)
        newer = await claimed(store, "b", "stranger")
        first, second = await store.orphans()
        assert (first.run_id, first.owner, first.lapsed) == (older.run_id, identity, False)
        assert (first.fence, first.executor) == (1, "in-process")
        assert (second.run_id, second.owner, second.lapsed) == (newer.run_id, None, True)
        assert await store.orphans(run_id=newer.run_id) == [second]
        assert await store.orphans(limit=1) == [first]
        place.advance(26)
        assert (await store.orphans(limit=1))[0].lapsed


@on_loop
async def test_an_orphan_is_queued_again_once(place: Place) -> None:
    async with place.store() as store:
        claim = await claimed(store)
        place.advance(31)
        (orphan,) = await store.orphans()
        assert await store.requeue_orphan(orphan, poison_after=3) == "queued"
        assert await store.requeue_orphan(orphan, poison_after=3) is None
        run = await store.run(claim.run_id)
        assert (run.status, run.owner, run.takeovers) == ("queued", None, 1)
        await assert_stale(store, claim)


@on_loop
async def test_an_owner_that_came_back_in_time_keeps_its_run(place: Place) -> None:
    async with place.store() as store:
        await store.register(worker("me"))
        claim = await claimed(store, worker_id="me")
        place.advance(31)
        (orphan,) = await store.orphans()
        assert orphan.lapsed
        await store.beat("me", Figures(runs=(claim.run_id,)), lease=LEASE)
        assert await store.requeue_orphan(orphan, poison_after=3) is None
        await store.save(claim, artifact(), concept=None)


@on_loop
async def test_an_owner_known_to_be_gone_is_replaced_before_its_lease_ends(place: Place) -> None:
    async with place.store() as store:
        await store.register(worker("me"))
        await claimed(store, worker_id="me")
        (orphan,) = await store.orphans()
        assert not orphan.lapsed
        assert await store.requeue_orphan(orphan, poison_after=3) == "queued"


@on_loop
async def test_owners_lost_in_a_row_without_an_artifact_are_poison(place: Place) -> None:
    async with place.store() as store:
        run = await submitted(store)
        for expected in ("queued", "queued", "failed"):
            await must_claim(store, run.run_id)
            place.advance(31)
            (orphan,) = await store.orphans()
            assert await store.requeue_orphan(orphan, poison_after=3) == expected
        failed = await store.run(run.run_id)
        assert failed.reason == "given up: 3 workers in a row were lost without saving anything"
        assert failed.finished_at is not None
        assert (await store.reopen(run.run_id, executor="in-process")).takeovers == 0


@on_loop
async def test_a_lost_owner_that_saved_something_is_no_sign_of_poison(place: Place) -> None:
    async with place.store() as store:
        run = await submitted(store)
        for n in range(4):
            claim = await must_claim(store, run.run_id)
            if n % 2:
                await store.save(claim, artifact(f"c{n // 2}"), concept=None)
            place.advance(31)
            (orphan,) = await store.orphans()
            assert await store.requeue_orphan(orphan, poison_after=2) == "queued"
            assert (await store.run(run.run_id)).takeovers == (n + 1) % 2


@on_loop
async def test_taking_a_lapsed_run_over_counts_its_lost_owner_too(place: Place) -> None:
    async with place.store() as store:
        claim = await claimed(store)
        place.advance(31)
        second = await must_claim(store, claim.run_id, "second")
        assert (await store.run(claim.run_id)).takeovers == 1
        await store.save(second, artifact(), concept=None)
        place.advance(31)
        await must_claim(store, claim.run_id, "third")
        assert (await store.run(claim.run_id)).takeovers == 0


@on_loop
async def test_runs_left_by_a_worker_that_leaves_may_be_taken_at_once(place: Place) -> None:
    async with place.store() as store:
        await store.register(worker("me"))
        claim = await claimed(store, worker_id="me")
        await store.deregister("me")
        (orphan,) = await store.orphans()
        assert (orphan.owner, orphan.lapsed) == (None, True)
        assert (await must_claim(store, claim.run_id, "heir")).fence == 2
