"""Purges: nothing of a run remains, and no other run changes."""

import asyncio
from collections.abc import Sequence

import pytest

from paceline.contracts.share import Share
from paceline.contracts.storage.outbox import SinkRoute
from paceline.contracts.storage.records import JournalEntry, Replaced, Run
from paceline.contracts.storage.retention import PURGED, Purged
from paceline.contracts.storage.seeds import Copy, Seeds
from paceline.contracts.storage.store import Store
from paceline.contracts.storage.versions import Revision
from paceline.errors import PacelineError, RunInWork, RunNotFound
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.store.base import StoreScenarios, refused
from paceline.testing.contracts.store.inputs import (
    LEASE,
    artifact,
    charge,
    done,
    ids,
    must_claim,
    roadmap,
    submitted,
)

#: Seconds that an ended run is kept in these tests.
_KEPT = 3600.0


async def full_run(store: Store, roadmap_id: str = "r", *, tenant: str = "") -> Run:
    """An ended run with a row of everything that a run can have."""
    store.deliver_to([SinkRoute(sink="files")])
    run, _ = await store.create_run(
        roadmap(roadmap_id),
        executor="in-process",
        new=True,
        key=f"key of {roadmap_id}",
        share=Share(tenant),
    )
    claim = await must_claim(store, run.run_id)
    await store.save(claim, artifact("c0"), concept=done("c0"))
    await store.finish(claim, "partial")
    wishes = [Revision(concept_id="c0", step="tutorial")]
    await store.request_revisions(run.run_id, wishes, executor="in-process")
    claim = await must_claim(store, run.run_id)
    (request,) = await store.revisions(run.run_id)
    replaced = Replaced(revision=request.number)
    await store.save(claim, artifact("c0", content='"2"'), concept=done("c0"), replaced=replaced)
    await store.charge(claim, charge("c1"))
    entry = JournalEntry(concept_id="c1", step="tutorial", version=1, name="found", value="1")
    await store.record(claim, entry)
    await store.request_revisions(run.run_id, wishes, executor="in-process")
    await store.finish(claim, "cancelled")
    return await store.run(run.run_id)


async def purge(
    store: Store, run_id: str, *, tenants: Sequence[str] = (), older_than: float | None = None
) -> Purged:
    """Hide and delete a run."""
    await store.hide(run_id, tenants=tenants, older_than=older_than)
    return await store.purge(run_id)


class StoreRetention(StoreScenarios):
    """Runs are deleted completely."""

    @scenario
    async def test_a_purged_run_does_not_exist(self) -> None:
        store = await self.opened_store()
        run, other = await full_run(store), await full_run(store, "other")
        waiting = (await store.sink_figures())[0].waiting
        purged = await purge(store, run.run_id)
        assert (purged.run_id, purged.artifacts, purged.versions) == (run.run_id, 1, 1)
        assert (purged.journal, purged.deliveries) == (1, waiting // 2)
        await self._is_gone(store, run)
        assert await store.run(other.run_id) == other, "another run changed"
        assert len(await store.versions(other.run_id, "c0", "tutorial")) == 2
        assert len(await store.journal(other.run_id, "c1")) == 1
        assert len(await store.revisions(other.run_id)) == 1
        assert (await store.sink_figures())[0].waiting == waiting // 2, "deliveries remain"

    async def _is_gone(self, store: Store, run: Run) -> None:
        run_id = run.run_id
        for look in (store.run, store.roadmap, store.concepts, store.hide, store.request_cancel):
            with pytest.raises(RunNotFound):
                await look(run_id)
        assert run_id not in ids(await store.runs())
        found = (
            await store.artifacts(run_id),
            await store.versions(run_id, "c0", "tutorial"),
            await store.journal(run_id, "c1"),
            await store.revisions(run_id),
        )
        assert not any(found), f"something of a purged run remains: {found}"
        assert await store.spending(run_id) == await store.spending("unknown"), "charges remain"
        assert await store.claim(run_id, "worker", lease=LEASE) is None

    @scenario
    async def test_an_interrupted_purge_is_hidden_and_is_continued(self) -> None:
        store = await self.opened_store()
        other, run = await full_run(store, "other"), await full_run(store)
        assert await store.purge(run.run_id) == Purged(run_id=run.run_id), "it was not hidden"
        assert run in await store.runs(), "a run that is not hidden was purged"
        await store.hide(run.run_id)
        for look in (store.run, store.roadmap, store.request_cancel):
            with pytest.raises(RunNotFound):
                await look(run.run_id)
        with pytest.raises(RunNotFound):
            await store.reopen(run.run_id, executor="x")
        with pytest.raises(RunNotFound):
            await store.restore(run.run_id, "c0", "tutorial", 1)
        assert ids(await store.runs()) == [other.run_id], "a run is listed while it is purged"
        assert await store.claim(run.run_id, "worker", lease=LEASE) is None
        listed = await store.purgeable()
        assert [(one.run_id, one.interrupted) for one in listed] == [
            (run.run_id, True),
            (other.run_id, False),
        ], "interrupted purges come first"
        page = await store.purgeable(limit=1, after=listed[0])
        assert [one.run_id for one in page] == [other.run_id]
        (first,) = await store.purgeable(older_than=_KEPT)
        assert (first.run_id, first.interrupted) == (run.run_id, True)
        assert (await purge(store, run.run_id)).artifacts == 1
        await self._is_gone(store, run)

    @scenario
    async def test_its_roadmap_and_its_key_can_be_submitted_again(self) -> None:
        store = await self.opened_store()
        older, run = await full_run(store, "r"), await submitted(store, "r")
        await purge(store, run.run_id)
        found, created = await store.create_run(roadmap("r"), executor="x")
        assert (found.run_id, created) == (older.run_id, False), "the run before is the newest"
        await purge(store, older.run_id)
        again, created = await store.create_run(roadmap("r"), executor="x", key="key of r")
        assert created, "the key of a purged run still names it"
        assert again.run_id not in (older.run_id, run.run_id)

    @scenario
    async def test_a_running_run_is_refused(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        claim = await must_claim(store, run.run_id)
        with pytest.raises(RunInWork, match=run.run_id):
            await purge(store, run.run_id)
        assert await store.purgeable() == [], "a running run is listed as purgeable"
        await store.save(claim, artifact(), concept=done())
        await store.finish(claim, "partial")
        assert (await purge(store, run.run_id)).artifacts == 1

    @scenario
    @when("clock")
    async def test_an_owner_without_a_lease_cannot_write_into_a_purged_run(self) -> None:
        store = await self.opened_store()
        claim = await must_claim(store, (await submitted(store)).run_id)
        await self.advance(LEASE + 1)
        await purge(store, claim.run_id)
        await refused(claim, "save", store.save(claim, artifact(), concept=done()))
        await refused(claim, "finish", store.finish(claim, "completed"))
        await store.charge(claim, charge())
        assert await store.hand_back(claim) is None
        assert await store.artifacts(claim.run_id) == []

    @scenario
    @when("clock")
    async def test_only_runs_that_ended_long_ago_are_old(self) -> None:
        store = await self.opened_store()
        first, second = await full_run(store, "a"), await full_run(store, "b", tenant="acme")
        queued, paused = await submitted(store, "q"), await submitted(store, "p")
        await store.request_pause(paused.run_id, "by request")
        assert await store.purgeable(older_than=_KEPT) == []
        await self.advance(_KEPT + 1)
        young = await full_run(store, "c")
        listed = await store.purgeable(older_than=_KEPT)
        assert [one.run_id for one in listed] == [first.run_id, second.run_id], "not the ended ones"
        assert [(one.artifacts, one.tenant) for one in listed] == [(1, ""), (1, "acme")]
        page = await store.purgeable(older_than=_KEPT, limit=1, after=listed[0])
        assert [one.run_id for one in page] == [second.run_id]
        for kept in (young, queued, paused):
            with pytest.raises(RunNotFound):
                await purge(store, kept.run_id, older_than=_KEPT)
        every = [one.run_id for one in await store.purgeable()]
        in_order = [first, second, queued, paused, young]
        assert every == [run.run_id for run in in_order], "not oldest first"
        await purge(store, first.run_id, older_than=_KEPT)
        await purge(store, queued.run_id)
        assert ids(await store.runs()) == [young.run_id, paused.run_id, second.run_id]

    @scenario
    async def test_tenants_purge_only_their_own_runs(self) -> None:
        store = await self.opened_store()
        run = await full_run(store, tenant="acme")
        assert await store.purgeable(tenants=["rival"]) == []
        with pytest.raises(RunNotFound):
            await purge(store, run.run_id, tenants=["rival", ""])
        assert await store.run(run.run_id) == run
        assert [one.run_id for one in await store.purgeable(tenants=["acme"])] == [run.run_id]
        await purge(store, run.run_id, tenants=["acme"])
        assert await store.runs() == []

    @scenario
    async def test_what_another_run_took_over_stays(self) -> None:
        store = await self.opened_store()
        source = await full_run(store)
        copies = Seeds(copies=(Copy(source.run_id, "c0", "tutorial"),), steps=("tutorial",))
        taker, _ = await store.create_run(roadmap(), executor="x", new=True, seeds=copies)
        await purge(store, source.run_id)
        (copy,) = await store.artifacts(taker.run_id)
        assert (copy.content, copy.adopted_from) == ('"2"', PURGED), "its origin still has the id"

    @scenario
    async def test_two_purges_at_once_delete_a_run_once(self) -> None:
        one, two = await self.processes(2)
        run = await full_run(one)
        answers = await asyncio.gather(
            *(purge(store, run.run_id) for store in (one, two)), return_exceptions=True
        )
        deleted = [answer for answer in answers if not isinstance(answer, BaseException)]
        unexpected = [
            answer
            for answer in answers
            if isinstance(answer, BaseException) and not isinstance(answer, PacelineError)
        ]
        assert not unexpected
        assert sum(one.artifacts for one in deleted) == 1, f"deleted twice: {deleted}"
        await self._is_gone(two, run)
