"""Controls: pauses, changed limits, drained workers, held runs, and the audit log."""

import asyncio
from dataclasses import replace

import pytest

from paceline.contracts.controls import MAX_CONTROLS, AuditEntry, PauseTarget
from paceline.contracts.share import Priority, Share
from paceline.contracts.storage.records import Figures
from paceline.contracts.storage.versions import Revision
from paceline.errors import UsageError
from paceline.testing.contracts.contract import scenario
from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.inputs import (
    LEASE,
    artifact,
    claimed,
    must_claim,
    submitted,
    worker,
)

EVERYTHING = PauseTarget("everything")
ENTRY = AuditEntry(by="ops", action="pause", subject="everything", detail="why")


class StoreControls(StoreScenarios):
    """What operators change is kept, with who changed it."""

    @scenario
    async def test_a_pause_is_kept_with_its_actor_until_it_is_lifted(self) -> None:
        store = await self.opened_store()
        before = await store.controls()
        assert not before.pauses
        paused = await store.set_pause(EVERYTHING, paused=True, entry=ENTRY)
        (pause,) = paused.pauses
        assert (pause.target, pause.reason, pause.by) == (EVERYTHING, "why", "ops")
        assert pause.at is not None
        assert before.version < pause.version == paused.version
        assert await store.controls() == paused
        again = await store.set_pause(
            EVERYTHING, paused=True, entry=replace(ENTRY, detail="because")
        )
        assert [one.reason for one in again.pauses] == ["because"]
        lifted = await store.set_pause(EVERYTHING, paused=False, entry=ENTRY)
        assert not lifted.pauses
        assert lifted.version > again.version
        unchanged = await store.set_pause(EVERYTHING, paused=False, entry=ENTRY)
        assert unchanged == lifted

    @scenario
    async def test_numbers_of_a_limit_are_merged_until_they_are_reset(self) -> None:
        store = await self.opened_store()
        key = "openai:gpt"
        first = await store.set_limit("global", key, {"concurrency": 3}, entry=ENTRY)
        second = await store.set_limit("global", key, {"requests_per_minute": 9}, entry=ENTRY)
        assert second.values == {"concurrency": 3, "requests_per_minute": 9}
        other = await store.set_limit("global", "", {"concurrency": 1}, entry=ENTRY)
        assert first.version < second.version < other.version
        controls = await store.controls()
        assert controls.limit("global", key) == second
        assert controls.limit("global") == other
        reset = await store.set_limit("global", key, None, entry=ENTRY)
        assert not reset.values
        assert reset.version > other.version
        assert (await store.controls()).limit("global", key) == reset

    @scenario
    async def test_a_beat_brings_the_newest_version(self) -> None:
        store = await self.opened_store()
        await store.register(worker("me"))
        assert (await store.beat("me", Figures(), lease=LEASE)).controls == 0
        claim = await claimed(store, worker_id="me")
        changed = await store.set_pause(EVERYTHING, paused=True, entry=ENTRY)
        for figures in (Figures(), Figures(runs=(claim.run_id,))):
            assert (await store.beat("me", figures, lease=LEASE)).controls == changed.version

    @scenario
    async def test_changes_at_once_have_different_versions_and_none_is_lost(self) -> None:
        stores = await self.processes(4)
        changes = [
            store.set_limit("global", f"openai:{n}-{m}", {"concurrency": 1}, entry=ENTRY)
            for n, store in enumerate(stores)
            for m in range(5)
        ]
        versions = {one.version for one in await asyncio.gather(*changes)}
        assert len(versions) == 20
        controls = await stores[0].controls()
        assert len(controls.limits) == 20
        assert controls.version == max(versions)

    @scenario
    async def test_the_log_lists_changes_newest_first_by_page_and_tenant(self) -> None:
        store = await self.opened_store()
        for number in range(5):
            tenant = "acme" if number % 2 else ""
            entry = AuditEntry(
                by=f"user-{number}", action="pause", subject="x", detail="d", tenant=tenant
            )
            await store.add_audit(entry)
        page = await store.audit_log(limit=2)
        assert [one.by for one in page] == ["user-4", "user-3"]
        rest = await store.audit_log(before=page[-1].number)
        assert [one.by for one in rest] == ["user-2", "user-1", "user-0"]
        own = await store.audit_log(tenants=["acme"])
        assert [one.by for one in own] == ["user-3", "user-1"]
        assert all(one.at is not None for one in own)

    @scenario
    async def test_the_number_of_controls_is_bounded(self) -> None:
        store = await self.opened_store()
        for number in range(MAX_CONTROLS):
            await store.set_limit("global", f"openai:{number}", {"concurrency": 1}, entry=ENTRY)
        with pytest.raises(UsageError, match="lift some first"):
            await store.set_pause(EVERYTHING, paused=True, entry=ENTRY)
        await store.set_limit("global", "openai:0", {"concurrency": 2}, entry=ENTRY)

    @scenario
    async def test_a_worker_is_asked_to_drain_by_its_id(self) -> None:
        store = await self.opened_store()
        for name in ("me", "other"):
            await store.register(worker(name))
        assert await store.request_drain("me", entry=ENTRY)
        assert not await store.request_drain("unknown", entry=ENTRY)
        assert (await store.beat("me", Figures(), lease=LEASE)).drain
        assert not (await store.beat("other", Figures(), lease=LEASE)).drain
        assert len(await store.audit_log()) == 1

    @scenario
    async def test_a_held_run_is_queued_again_when_its_tenant_is_resumed(self) -> None:
        store = await self.opened_store()
        acme = PauseTarget("tenant", "acme")
        await store.set_pause(acme, paused=True, entry=ENTRY)
        claim = await claimed(store, share=Share("acme"))
        assert await store.pause_held(claim, "tenant acme is paused") == "paused"
        run = await store.run(claim.run_id)
        assert (run.status, run.reason) == ("paused", "tenant acme is paused")
        assert await store.pause_held(claim, "again") is None
        assert not await store.resume_held("in-process")
        await store.set_pause(acme, paused=False, entry=ENTRY)
        assert not await store.resume_held("celery")
        assert list(await store.resume_held("in-process")) == [claim.run_id]
        assert not await store.resume_held("in-process")
        await must_claim(store, claim.run_id)

    @scenario
    async def test_urgent_runs_and_revisions_are_claimed_first(self) -> None:
        store = await self.opened_store()
        revised = await claimed(store, "revised")
        await store.save(revised, artifact(), concept=None)
        await store.finish(revised, "failed")
        order: tuple[Priority, ...] = ("low", "normal", "high")
        for priority in order:
            run = await submitted(store, priority, share=Share(priority=priority))
            assert run.share.priority == priority
        wish = Revision(concept_id="c0", step="tutorial")
        await store.request_revisions(revised.run_id, [wish], executor="in-process")
        claims = [await store.claim_next("in-process", "worker", lease=LEASE) for _ in range(4)]
        found = [one.roadmap_id for one in claims if one is not None]
        # The first two may have been queued in the same millisecond.
        assert (set(found[:2]), found[2:]) == ({"high", "revised"}, ["normal", "low"])
        assert claims[3] is not None
        assert claims[3].share.priority == "low"

    @scenario
    async def test_the_default_tenant_owns_runs_without_a_tenant(self) -> None:
        store = await self.opened_store()
        default = PauseTarget("tenant", "default")
        await store.set_pause(default, paused=True, entry=ENTRY)
        for share in (Share(), Share("default")):
            claim = await claimed(store, share=share)
            await store.pause_held(claim, "paused")
        assert not await store.resume_held("in-process")
        await store.set_pause(default, paused=False, entry=ENTRY)
        assert len(await store.resume_held("in-process")) == 2

    @scenario
    async def test_a_run_that_a_user_resumed_is_no_longer_held(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store, share=Share("acme"))
        await store.pause_held(claim, "paused")
        await store.reopen(claim.run_id, executor="in-process")
        await store.request_pause(claim.run_id, "by request")
        assert not await store.resume_held("in-process")
        assert (await store.run(claim.run_id)).reason == "by request"

    @scenario
    async def test_a_cancelled_run_is_not_held(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store, share=Share("acme"))
        await store.request_cancel(claim.run_id)
        assert await store.pause_held(claim, "paused") == "cancelled"
        other = await submitted(store, "other", share=Share("acme"))
        assert not await store.resume_held("in-process")
        assert (await store.run(other.run_id)).status == "queued"
