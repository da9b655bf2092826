"""Runs that are paused."""

from paceline.contracts.storage.records import Figures
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.inputs import (
    LEASE,
    artifact,
    claimed,
    must_claim,
    submitted,
    worker,
)


class StorePauses(StoreScenarios):
    """A paused run continues only after a user's command."""

    @scenario
    async def test_a_queued_run_is_paused_at_once_until_it_is_resumed(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        paused = await store.request_pause(run.run_id, "by request")
        assert (paused.status, paused.reason, paused.finished_at) == ("paused", "by request", None)
        assert await store.claim(run.run_id, "worker", lease=30) is None
        assert await store.claim_next("in-process", "worker", lease=30) is None
        assert await store.request_pause(run.run_id, "again") == paused
        again = await store.reopen(run.run_id, executor="in-process")
        assert (again.status, again.reason, again.pause_requested) == ("queued", None, None)
        await must_claim(store, run.run_id)

    @scenario
    async def test_the_owner_of_a_running_run_pauses_it(self) -> None:
        store = await self.opened_store()
        await store.register(worker("me"))
        claim = await claimed(store, worker_id="me")
        run = await store.request_pause(claim.run_id, "budget")
        assert (run.status, run.pause_requested, run.owner) == ("running", "budget", "me")
        beat = await store.beat("me", Figures(runs=(claim.run_id,)), lease=LEASE)
        assert (beat.paused, beat.cancelled) == (frozenset({claim.run_id}), frozenset())
        await store.save(claim, artifact(), concept=None)
        assert await store.hand_back(claim, "stopped") == "paused"
        paused = await store.run(claim.run_id)
        assert (paused.status, paused.reason, paused.owner) == ("paused", "budget", None)
        assert paused.pause_requested is None

    @scenario
    async def test_a_run_that_ends_before_its_pause_has_ended(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.request_pause(claim.run_id, "by request")
        await store.finish(claim, "completed")
        run = await store.request_pause(claim.run_id, "by request")
        assert (run.status, run.reason, run.pause_requested) == ("completed", None, None)

    @scenario
    async def test_a_paused_run_can_be_cancelled(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        await store.request_pause(run.run_id, "by request")
        cancelled = await store.request_cancel(run.run_id)
        assert cancelled.status == "cancelled"
        assert cancelled.finished_at is not None

    @scenario
    async def test_a_cancel_request_comes_before_a_pause_request(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.request_pause(claim.run_id, "by request")
        await store.request_cancel(claim.run_id)
        assert await store.hand_back(claim) == "cancelled"

    @scenario
    async def test_a_run_that_loses_its_worker_before_its_pause_is_paused(self) -> None:
        store = await self.opened_store()
        await store.register(worker("me"))
        claim = await claimed(store, worker_id="me")
        await store.request_pause(claim.run_id, "by request")
        (orphan,) = await store.orphans()
        assert await store.requeue_orphan(orphan, poison_after=3) == "paused"
        assert (await store.run(claim.run_id)).reason == "by request"

    @when("clock")
    @scenario
    async def test_a_run_without_a_live_owner_is_paused_at_once(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await self.advance(31)
        assert (await store.request_pause(claim.run_id, "by request")).status == "paused"
        assert await store.claim(claim.run_id, "other", lease=30) is None
