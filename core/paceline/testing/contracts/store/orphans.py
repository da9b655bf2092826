"""Runs of lost workers."""

from paceline.contracts.identity import ProcessIdentity
from paceline.contracts.storage.records import Figures
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.store.base import StoreScenarios, assert_stale
from paceline.testing.contracts.store.inputs import (
    LEASE,
    artifact,
    claimed,
    must_claim,
    submitted,
    worker,
)


class StoreOrphans(StoreScenarios):
    """Runs that lost their owner."""

    @when("clock")
    @scenario
    async def test_running_runs_are_listed_with_their_owners(self) -> None:
        store = await self.opened_store()
        identity = ProcessIdentity("elsewhere", 4711, 12345.5)
        await store.register(worker("known", identity=identity))
        older = await claimed(store, "a", "known")
        await self.advance(5)
        newer = await claimed(store, "b", "stranger")
        first, second = await store.orphans()
        assert (first.run_id, first.owner, first.lapsed) == (older.run_id, identity, False)
        assert (first.fence, first.executor) == (1, "in-process")
        assert (second.run_id, second.owner, second.lapsed) == (newer.run_id, None, True)
        assert await store.orphans(run_id=newer.run_id) == [second]
        assert await store.orphans(limit=1) == [first]
        await self.advance(26)
        assert (await store.orphans(limit=1))[0].lapsed

    @when("clock")
    @scenario
    async def test_an_orphan_is_queued_again_once(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await self.advance(31)
        (orphan,) = await store.orphans()
        assert await store.requeue_orphan(orphan, poison_after=3) == "queued"
        assert await store.requeue_orphan(orphan, poison_after=3) is None
        run = await store.run(claim.run_id)
        assert (run.status, run.owner, run.takeovers) == ("queued", None, 1)
        await assert_stale(store, claim)

    @when("clock")
    @scenario
    async def test_an_owner_that_renews_its_lease_in_time_keeps_its_run(self) -> None:
        store = await self.opened_store()
        await store.register(worker("me"))
        claim = await claimed(store, worker_id="me")
        await self.advance(31)
        (orphan,) = await store.orphans()
        assert orphan.lapsed
        await store.beat("me", Figures(runs=(claim.run_id,)), lease=LEASE)
        assert await store.requeue_orphan(orphan, poison_after=3) is None
        await store.save(claim, artifact(), concept=None)

    @scenario
    async def test_a_run_is_requeued_before_the_lease_ends_if_its_owner_is_known_to_be_dead(
        self,
    ) -> None:
        store = await self.opened_store()
        await store.register(worker("me"))
        await claimed(store, worker_id="me")
        (orphan,) = await store.orphans()
        assert not orphan.lapsed
        assert await store.requeue_orphan(orphan, poison_after=3) == "queued"

    @when("clock")
    @scenario
    async def test_a_run_that_loses_owners_in_a_row_without_an_artifact_fails(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        for expected in ("queued", "queued", "failed"):
            await must_claim(store, run.run_id)
            await self.advance(31)
            (orphan,) = await store.orphans()
            assert await store.requeue_orphan(orphan, poison_after=3) == expected
        failed = await store.run(run.run_id)
        assert failed.reason == (
            "stopped retrying: 3 workers in a row were lost without saving anything"
        )
        assert failed.finished_at is not None
        assert (await store.reopen(run.run_id, executor="in-process")).takeovers == 0

    @when("clock")
    @scenario
    async def test_a_lost_owner_that_saved_an_artifact_does_not_count(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        for n in range(4):
            claim = await must_claim(store, run.run_id)
            if n % 2:
                await store.save(claim, artifact(f"c{n // 2}"), concept=None)
            await self.advance(31)
            (orphan,) = await store.orphans()
            assert await store.requeue_orphan(orphan, poison_after=2) == "queued"
            assert (await store.run(run.run_id)).takeovers == (n + 1) % 2

    @when("clock")
    @scenario
    async def test_claiming_a_lapsed_run_counts_its_lost_owner(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await self.advance(31)
        second = await must_claim(store, claim.run_id, "second")
        assert (await store.run(claim.run_id)).takeovers == 1
        await store.save(second, artifact(), concept=None)
        await self.advance(31)
        await must_claim(store, claim.run_id, "third")
        assert (await store.run(claim.run_id)).takeovers == 0

    @scenario
    async def test_runs_of_a_deregistered_worker_may_be_claimed_at_once(self) -> None:
        store = await self.opened_store()
        await store.register(worker("me"))
        claim = await claimed(store, worker_id="me")
        await store.deregister("me")
        (orphan,) = await store.orphans()
        assert (orphan.owner, orphan.lapsed) == (None, True)
        assert (await must_claim(store, claim.run_id, "heir")).fence == 2
