"""The suites of buses, ledgers and stores catch planted faults by name."""

import dataclasses
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from types import MappingProxyType

import pytest
from paceline.contracts.admission.ledger import Grant, LeaseRelease, LeaseRequest, Ledger, Quota
from paceline.contracts.events import Event, EventBus, StreamPosition
from paceline.contracts.scope import WHOLE_ROADMAP, Scope
from paceline.contracts.share import DEFAULT_SHARE, Share
from paceline.contracts.storage.outbox import Outgoing, Rejection, SinkBatch, SinkOutage
from paceline.contracts.storage.records import (
    NOTHING_REPLACED,
    Artifact,
    Claim,
    ConceptState,
    JournalEntry,
    Replaced,
    Run,
    RunStatus,
)
from paceline.contracts.storage.retention import Purged
from paceline.contracts.storage.seeds import NO_SEEDS, Seeds
from paceline.contracts.storage.spending import Charge
from paceline.contracts.storage.store import Store
from paceline.roadmaps.model import Roadmap
from paceline.testing.contracts import EventBusContract, LedgerContract, StoreContract
from paceline_adapters.memory.bus import MemoryBus
from paceline_adapters.memory.ledger import MemoryLedger
from paceline_adapters.memory.rows import Row
from paceline_adapters.memory.store import MemoryStore

from tests.support.suite_runs import complaint, names_of


class Loses(MemoryBus):
    """Drops what is published together with something else."""

    async def publish(self, events: Sequence[Event]) -> None:
        await super().publish(events[:1])
        await super().publish(events[2:])


class Reorders(MemoryBus):
    """The last first."""

    async def publish(self, events: Sequence[Event]) -> None:
        await super().publish(events[::-1])


class GoesOn(MemoryBus):
    """Takes what comes after the last event for a new claim's."""

    async def publish(self, events: Sequence[Event]) -> None:
        for number, event in enumerate(events, 1):
            opens = event.model_copy(
                update={"type": "content_generation_snapshot", "fence": event.fence + number}
            )
            await super().publish([event if event.terminal else opens])


class SkipsAfterATrim(MemoryBus):
    """Who is told to reload loses the event that follows."""

    async def subscribe(self, run_id: str, after: str | None = None) -> AsyncGenerator[Event, None]:
        told = False
        async with aclosing(super().subscribe(run_id, after)) as events:
            async for event in events:
                if not told:
                    yield event
                told = event.type == "resync_required"


class RepeatsTheLast(MemoryBus):
    """Who comes back hears the last event that it heard once more."""

    async def subscribe(self, run_id: str, after: str | None = None) -> AsyncGenerator[Event, None]:
        last = StreamPosition.parse(after)
        again = str(last.before) if last.offset > 1 else after
        async with aclosing(super().subscribe(run_id, again)) as events:
            async for event in events:
                yield event


class TrimsUnseen(MemoryBus):
    """Says nothing of what it dropped."""

    async def subscribe(self, run_id: str, after: str | None = None) -> AsyncGenerator[Event, None]:
        async with aclosing(super().subscribe(run_id, after)) as events:
            async for event in events:
                if event.type != "resync_required":
                    yield event


class AlwaysReloads(MemoryBus):
    """Tells everybody who comes back to load the run anew, lost or not."""

    async def subscribe(self, run_id: str, after: str | None = None) -> AsyncGenerator[Event, None]:
        async with aclosing(super().subscribe(run_id, after and "7-7")) as events:
            async for event in events:
                yield event


ANY_ORDER = "test_any_order_of_steps_leaves_no_silent_gap"


@pytest.mark.parametrize(
    ("made", "test", "says"),
    [
        (SkipsAfterATrim, ANY_ORDER, "event lost silently"),
        (RepeatsTheLast, ANY_ORDER, "received twice"),
        (TrimsUnseen, ANY_ORDER, "event lost silently"),
        (AlwaysReloads, ANY_ORDER, "no later event is lost"),
        (Loses, ANY_ORDER, "lost event: "),
        (Reorders, "test_runs_published_together_stay_separate", "[2, 1, 0]"),
        (Loses, "test_a_slow_reader_misses_no_retained_event", "lost event"),
        (GoesOn, "test_nothing_follows_the_last_event", "[0, 2] == [0, 1]"),
    ],
)
def test_a_bus_with_a_fault_is_caught(made: type[MemoryBus], test: str, says: str) -> None:
    class Suite(EventBusContract):
        def bus(self) -> EventBus:
            return made(max_length=100)

    assert says in complaint(Suite, test)


class Generous(MemoryLedger):
    """Forgets the capacity."""

    async def sync(
        self,
        limit: str,
        *,
        quota: Quota,
        holder: str,
        requests: Sequence[LeaseRequest] = (),
        releases: Sequence[LeaseRelease] = (),
    ) -> Grant:
        more = replace(quota, concurrency=(quota.concurrency or 0) + 1)
        return await super().sync(
            limit, quota=more, holder=holder, requests=requests, releases=releases
        )


class Stingy(MemoryLedger):
    """Gives one lease at a time."""

    async def sync(
        self,
        limit: str,
        *,
        quota: Quota,
        holder: str,
        requests: Sequence[LeaseRequest] = (),
        releases: Sequence[LeaseRelease] = (),
    ) -> Grant:
        few = [replace(one, costs=one.costs[:1]) for one in requests]
        return await super().sync(
            limit, quota=quota, holder=holder, requests=few, releases=releases
        )


@pytest.mark.parametrize(
    ("made", "test", "says"),
    [
        (
            MemoryLedger,
            "test_leases_that_are_not_renewed_expire",
            "must name the time of the next sync",
        ),
        (Generous, "test_grants_requests_up_to_the_capacity", "(3, 1)"),
        (Stingy, "test_grants_requests_up_to_the_capacity", "(3, 1)"),
    ],
)
def test_a_ledger_with_a_fault_is_caught(made: type[MemoryLedger], test: str, says: str) -> None:
    class Suite(LedgerContract):
        def ledger(self) -> Ledger:
            return made()

    assert says in complaint(Suite, test)


class ForgetsTheFence(MemoryStore):
    """Whoever once owned a running run writes."""

    def _owned(self, claim: Claim, charge: Charge | None = None) -> Row:
        row = self._row(claim.run_id)
        return super()._owned(replace(claim, fence=row.fence, worker_id=row.owner or ""), charge)


class SavesTwice(MemoryStore):
    """The last artifact of a concept and step stays, not the first."""

    async def save(
        self,
        claim: Claim,
        artifact: Artifact,
        *,
        concept: ConceptState | None,
        replaced: Replaced = NOTHING_REPLACED,
    ) -> None:
        self._owned(claim).artifacts.pop((artifact.concept_id, artifact.step), None)
        await super().save(claim, artifact, concept=concept, replaced=replaced)


class ClaimsTwice(MemoryStore):
    """Gives a run to everybody who asks."""

    async def claim(self, run_id: str, worker_id: str, *, lease: float) -> Claim | None:
        return await super().claim(run_id, worker_id, lease=-1.0)


class RecordsAnyway(MemoryStore):
    """Records results of a step for any claim, and keeps them after the artifact is saved."""

    async def record(self, claim: Claim, entry: JournalEntry) -> None:
        entries = self._row(claim.run_id).journal[entry.concept_id, entry.step]
        entries[entry.version, entry.name] = entry

    async def save(
        self,
        claim: Claim,
        artifact: Artifact,
        *,
        concept: ConceptState | None,
        replaced: Replaced = NOTHING_REPLACED,
    ) -> None:
        await super().save(claim, artifact, concept=concept)


class ForgetsTheExtension(MemoryStore):
    """Ends a run although its scope was widened."""

    async def finish(self, claim: Claim, status: RunStatus, reason: str | None = None) -> RunStatus:
        self._owned(claim).extended = False
        return await super().finish(claim, status, reason)


class SharesRuns(MemoryStore):
    """Finds the newest run of a roadmap, of any tenant."""

    async def create_run(
        self,
        roadmap: Roadmap,
        *,
        executor: str,
        new: bool = False,
        key: str | None = None,
        share: Share = DEFAULT_SHARE,
        context: Mapping[str, object] = MappingProxyType({}),
        scope: Scope = WHOLE_ROADMAP,
        seeds: Seeds = NO_SEEDS,
        budget: float | None = None,
    ) -> tuple[Run, bool]:
        found = await self.runs(roadmap_id=roadmap.roadmap_id, limit=1)
        if found and not new:
            return found[0], False
        return await super().create_run(
            roadmap,
            executor=executor,
            new=new,
            key=key,
            share=share,
            context=context,
            scope=scope,
            seeds=seeds,
            budget=budget,
        )


class KeepsDeliveries(MemoryStore):
    """Forgets the outbox of a purged run."""

    async def purge(self, run_id: str) -> Purged:
        kept = dict(self._outbox.rows)
        purged = await super().purge(run_id)
        self._outbox.rows.update(kept)
        return purged


class KeepsOrigins(MemoryStore):
    """Leaves the id of a purged run in the artifacts that others took over from it."""

    async def purge(self, run_id: str) -> Purged:
        others, self._rows = self._rows, {}
        purged = await super().purge(run_id)
        self._rows = others
        return purged


class PurgesAtOnce(MemoryStore):
    """Purges runs that were not hidden."""

    async def purge(self, run_id: str) -> Purged:
        hidden = run_id in self._hidden
        if not hidden and run_id in self._rows:
            await super().hide(run_id)
            await super().purge(run_id)
            return Purged(run_id=run_id)
        return await super().purge(run_id)


class ForgetsToDeliver(MemoryStore):
    """Writes no row for an ended run."""

    def _add_end(self, row: Row) -> None:
        row.ends += 1


class DeliversEachSave(MemoryStore):
    """Adds a row for each save, also for one that changed nothing."""

    async def save(
        self,
        claim: Claim,
        artifact: Artifact,
        *,
        concept: ConceptState | None,
        replaced: Replaced = NOTHING_REPLACED,
    ) -> None:
        known = artifact.place in self._owned(claim).artifacts
        await super().save(claim, artifact, concept=concept, replaced=replaced)
        if known:
            self._add_artifact(self._row(claim.run_id), dataclasses.replace(artifact, changes=2))


class LeasesNothing(MemoryStore):
    """Leases a delivery to every worker at once."""

    async def claim_batch(self, sink: str, *, limit: int, lease: float) -> SinkBatch:
        return await super().claim_batch(sink, limit=limit, lease=-1.0)


class ForgetsTheOrder(MemoryStore):
    """Hands out a later delivery while an earlier one is leased."""

    async def claim_batch(self, sink: str, *, limit: int, lease: float) -> SinkBatch:
        batch = await super().claim_batch(sink, limit=limit, lease=lease)
        rows = [row for row in self._outbox.of(sink) if row.lease is None and not row.dead]
        if batch.items or not rows:
            return batch
        rows[0].lease = "mine"
        return SinkBatch(
            sink=sink, lease="mine", items=[Outgoing(delivery=rows[0].delivery, attempts=0)]
        )


class SettlesAnyLease(MemoryStore):
    """Lets a stale worker settle what another one has leased."""

    async def settle(
        self,
        batch: SinkBatch,
        *,
        delivered: Collection[str] = (),
        rejected: Sequence[Rejection] = (),
        outage: SinkOutage | None = None,
    ) -> None:
        for item in batch.items:
            row = self._outbox.rows.get((batch.sink, item.delivery.id))
            if row is not None:
                row.lease = batch.lease
        await super().settle(batch, delivered=delivered, rejected=rejected, outage=outage)


class Hammers(MemoryStore):
    """Forgets that a sink is down."""

    async def settle(
        self,
        batch: SinkBatch,
        *,
        delivered: Collection[str] = (),
        rejected: Sequence[Rejection] = (),
        outage: SinkOutage | None = None,
    ) -> None:
        await super().settle(batch, delivered=delivered, rejected=rejected)


@pytest.mark.parametrize(
    ("made", "test", "says"),
    [
        (KeepsDeliveries, "test_a_purged_run_does_not_exist", "deliveries remain"),
        (KeepsOrigins, "test_what_another_run_took_over_stays", "its origin still has the id"),
        (
            PurgesAtOnce,
            "test_an_interrupted_purge_is_hidden_and_is_continued",
            "a run that is not hidden was purged",
        ),
        (
            ForgetsToDeliver,
            "test_only_what_was_saved_is_delivered",
            "not what was committed",
        ),
        (DeliversEachSave, "test_only_what_was_saved_is_delivered", "not what was committed"),
        (LeasesNothing, "test_two_workers_never_hold_the_same_delivery", "leased twice"),
        (ForgetsTheOrder, "test_a_later_delivery_waits_for_an_earlier_one", "out of order"),
        (
            SettlesAnyLease,
            "test_what_a_lost_worker_held_is_delivered_again_with_the_same_id",
            "forgotten lease",
        ),
        (Hammers, "test_a_sink_that_is_down_is_tried_by_one_worker_after_its_pause", "hammered"),
        (
            SharesRuns,
            "test_the_same_roadmap_of_two_tenants_has_two_runs",
            "a run of another tenant",
        ),
        (
            ForgetsTheFence,
            "test_a_lapsed_run_is_taken_over_and_its_first_owner_writes_no_more",
            "forgotten fence: `save`",
        ),
        (ForgetsTheFence, "test_any_order_of_steps_keeps_the_promises", "forgotten fence: "),
        (
            RecordsAnyway,
            "test_the_next_owner_reads_the_journal_and_the_old_one_cannot_add_to_it",
            "forgotten fence: `record`",
        ),
        (RecordsAnyway, "test_recording_again_changes_nothing", "recorded twice"),
        (
            RecordsAnyway,
            "test_a_saved_artifact_replaces_the_journal_of_its_step_only",
            "stale journal",
        ),
        (
            ForgetsTheExtension,
            "test_a_run_that_is_widened_while_it_runs_is_queued_at_its_end",
            "lost extension",
        ),
        (SavesTwice, "test_saving_again_changes_nothing", "saved twice"),
        (ClaimsTwice, "test_a_run_delivered_many_times_is_claimed_once", "two owners"),
        pytest.param(
            ClaimsTwice,
            "test_any_order_of_steps_keeps_the_promises",
            "two owners: ",
            marks=pytest.mark.soak,  # Hypothesis looks long for the shortest order
        ),
    ],
)
def test_a_store_with_a_fault_is_caught(made: type[MemoryStore], test: str, says: str) -> None:
    class Suite(StoreContract):
        shared = False
        clock = True
        examples = 400  # the first that shows the fault ends the search

        def store(self) -> Store:
            return made()

    assert says in complaint(Suite, test)


def test_tests_that_need_a_clock_are_omitted_without_one() -> None:
    class WithoutClock(StoreContract):
        pass

    class WithClock(StoreContract):
        clock = True

    left_out = set(names_of(WithClock)) - set(names_of(WithoutClock))
    assert "test_an_orphan_is_queued_again_once" in left_out
    assert "test_saving_again_changes_nothing" not in left_out
