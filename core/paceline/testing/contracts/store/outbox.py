"""What is committed is delivered: at least once, with one id, and in the order of the versions."""

import asyncio
from contextlib import suppress

from paceline.contracts.storage.outbox import Rejection, SinkBatch, SinkOutage, SinkRoute
from paceline.contracts.storage.records import Replaced
from paceline.contracts.storage.seeds import Copy, Seeds
from paceline.contracts.storage.store import Store
from paceline.contracts.storage.versions import Revision
from paceline.errors import StaleFence
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.inputs import (
    artifact,
    claimed,
    done,
    must_claim,
    roadmap,
    submitted,
    worker,
)

SINK = "files"
LEASE = 30.0


class StoreOutbox(StoreScenarios):
    """Deliveries to sinks."""

    async def outboxes(self, count: int = 1, **route: frozenset[str]) -> list[Store]:
        """Open stores for a number of processes that deliver to one sink."""
        stores = await self.processes(count)
        for store in stores:
            store.deliver_to([SinkRoute(sink=SINK, **route)])  # type: ignore[arg-type]
        return stores

    @scenario
    async def test_what_is_saved_is_delivered_until_it_is_accepted(self) -> None:
        (store,) = await self.outboxes()
        claim = await claimed(store)
        await store.save(claim, artifact("c1", "quiz", content='{"a": 1}', cost=0.5), concept=None)
        batch = await take(store)
        (item,) = batch.items
        made = item.delivery
        assert (made.kind, made.run_id, made.roadmap_id) == ("artifact", claim.run_id, "r")
        assert (made.concept_id, made.step, made.version, made.number) == ("c1", "quiz", 1, 1)
        assert (made.content, made.cost, made.model) == ('{"a": 1}', 0.5, "gpt")
        assert made.created_at.tzinfo is not None
        assert item.attempts == 0
        await store.settle(batch, delivered=[made.id])
        assert not (await take(store)).items, "delivered twice: an accepted delivery must be gone"
        (figures,) = await store.sink_figures()
        assert (figures.waiting, figures.delivered, figures.dead) == (0, 1, 0)

    @scenario
    async def test_only_what_was_saved_is_delivered(self) -> None:
        (store,) = await self.outboxes()
        claim = await claimed(store)
        await store.save(claim, artifact(), concept=done("c0"))
        await store.save(claim, artifact(content="2"), concept=None)
        await store.finish(claim, "completed")
        with suppress(StaleFence):
            await store.save(claim, artifact("c1"), concept=None)
        kinds = [item.delivery.kind for item in (await take(store)).items]
        assert sorted(kinds) == ["artifact", "run"], (
            f"not what was committed: {kinds}; a second save and a refused one change nothing"
        )
        (figures,) = await store.sink_figures()
        assert figures.waiting == len(kinds), (
            f"not what was committed: {figures.waiting} deliveries wait, also repeated ones"
        )

    @scenario
    async def test_without_sinks_nothing_is_written(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.save(claim, artifact(), concept=None)
        await store.finish(claim, "completed")
        assert await store.sink_figures() == []
        store.deliver_to([SinkRoute(sink=SINK)])
        assert not (await take(store)).items

    @scenario
    async def test_a_sink_receives_only_its_kinds_and_steps(self) -> None:
        (store,) = await self.processes(1)
        store.deliver_to(
            [
                SinkRoute(sink="quizzes", steps=frozenset({"quiz"}), kinds=frozenset({"artifact"})),
                SinkRoute(sink="ends", kinds=frozenset({"run"})),
            ]
        )
        claim = await claimed(store)
        for step in ("tutorial", "quiz"):
            await store.save(claim, artifact("c0", step), concept=None)
        await store.finish(claim, "partial", "1 of 3 failed")
        (quiz,) = (await take(store, "quizzes")).items
        assert quiz.delivery.step == "quiz"
        (end,) = (await take(store, "ends")).items
        assert (end.delivery.kind, end.delivery.status) == ("run", "partial")
        assert (end.delivery.reason, end.delivery.total) == ("1 of 3 failed", 3)

    @scenario
    async def test_every_version_that_becomes_current_is_delivered_in_order(self) -> None:
        (store,) = await self.outboxes(kinds=frozenset({"artifact"}))
        claim = await claimed(store, concepts=1)
        run_id = claim.run_id
        await store.save(claim, artifact(content='"1"'), concept=done())
        await store.finish(claim, "completed")
        await store.request_revisions(
            run_id, [Revision(concept_id="c0", step="tutorial")], executor="in-process"
        )
        claim = await must_claim(store, run_id)
        made = artifact(content='"2"', instruction="shorter")
        for _ in range(2):
            await store.save(claim, made, concept=done(), replaced=Replaced(revision=1))
        await store.finish(claim, "completed")
        await store.restore(run_id, "c0", "tutorial", 1)
        await store.restore(run_id, "c0", "tutorial", 1)
        await store.add_artifacts(run_id, [artifact(content='"3"')], steps=["tutorial"])
        copies = (Copy(run_id, "c0", "tutorial"),)
        await store.create_run(
            roadmap(concepts=1), executor="x", new=True, seeds=Seeds(copies=copies)
        )
        found: list[tuple[int, int, str, str | None]] = []
        while items := (batch := await take(store)).items:
            assert len({one.delivery.run_id for one in items}) == len(items), "out of order"
            for one in items:
                new = one.delivery
                if new.run_id == run_id:
                    found.append((new.number, new.version, new.content, new.instruction))
                else:
                    assert (new.number, new.version, new.content) == (1, 1, '"3"')
            await store.settle(batch, delivered=[one.delivery.id for one in items])
        assert found == [
            (1, 1, '"1"', None),
            (2, 2, '"2"', "shorter"),
            (3, 1, '"1"', None),
            (4, 3, '"3"', None),
        ]

    @scenario
    async def test_each_end_of_a_run_is_delivered_in_order_with_its_own_id(self) -> None:
        (store,) = await self.outboxes()
        run = await submitted(store)
        await store.request_cancel(run.run_id)
        await store.reopen(run.run_id, executor="in-process")
        claim = await must_claim(store, run.run_id)
        await store.finish(claim, "failed", "no")
        found: list[tuple[int, str | None, str]] = []
        for _ in range(2):
            batch = await take(store)
            (item,) = batch.items
            found.append((item.delivery.number, item.delivery.status, item.delivery.id))
            await store.settle(batch, delivered=[item.delivery.id])
        assert [one[:2] for one in found] == [(1, "cancelled"), (2, "failed")]
        assert len({one[2] for one in found}) == 2

    @scenario
    async def test_runs_that_a_lost_or_stopped_worker_leaves_are_delivered_when_they_end(
        self,
    ) -> None:
        (store,) = await self.outboxes()
        await store.register(worker("me"))
        lost = await claimed(store, "a", "me")
        stopped = await claimed(store, "b", "me")
        (orphan,) = await store.orphans(run_id=lost.run_id)
        await store.requeue_orphan(orphan, poison_after=1)
        await store.request_cancel(stopped.run_id)
        await store.hand_back(stopped)
        ended = {item.delivery.run_id: item.delivery.status for item in (await take(store)).items}
        assert ended == {lost.run_id: "failed", stopped.run_id: "cancelled"}

    @scenario
    async def test_two_workers_never_hold_the_same_delivery(self) -> None:
        first, second = await self.outboxes(2)
        claim = await claimed(first, concepts=30)
        for n in range(30):
            await first.save(claim, artifact(f"c{n}"), concept=None)
        batches = await asyncio.gather(*(take(one, limit=10) for one in (first, second) * 3))
        ids = [item.delivery.id for batch in batches for item in batch.items]
        assert len(ids) == len(set(ids)), "leased twice: a leased delivery was handed out again"
        assert len(ids) >= 20, f"only {len(ids)} of 30 deliveries were handed out"

    @when("clock")
    @scenario
    async def test_what_a_lost_worker_held_is_delivered_again_with_the_same_id(self) -> None:
        (store,) = await self.outboxes()
        await store.save(await claimed(store), artifact(), concept=None)
        lost = await take(store)
        assert not (await take(store)).items
        await self.advance(LEASE + 1)
        again = await take(store)
        assert [one.delivery for one in again.items] == [one.delivery for one in lost.items], (
            "lost delivery: after its lease it must be handed out again, with the same id"
        )
        await store.settle(lost, delivered=[lost.items[0].delivery.id])
        (figures,) = await store.sink_figures()
        assert figures.waiting == 1, "forgotten lease: a stale worker settled the delivery"
        await store.settle(again, delivered=[again.items[0].delivery.id])
        assert not (await take(store)).items

    @scenario
    async def test_a_later_delivery_waits_for_an_earlier_one(self) -> None:
        (store,) = await self.outboxes()
        run = await submitted(store)
        for _ in range(3):
            await store.request_cancel(run.run_id)
            await store.reopen(run.run_id, executor="in-process")
        first = await take(store)
        assert [one.delivery.number for one in first.items] == [1]
        assert not (await take(store)).items, (
            "out of order: a later delivery was handed out while an earlier one is leased"
        )
        await store.settle(first, rejected=[rejection(first, retry_in=1000.0)])
        assert not (await take(store)).items, (
            "out of order: a later delivery was handed out while an earlier one waits"
        )

    @when("clock")
    @scenario
    async def test_a_rejected_delivery_is_tried_again_after_its_pause(self) -> None:
        (store,) = await self.outboxes()
        await store.save(await claimed(store), artifact(), concept=None)
        batch = await take(store)
        await store.settle(batch, rejected=[rejection(batch, retry_in=10.0)])
        assert not (await take(store)).items
        await self.advance(11)
        again = await take(store)
        assert [one.attempts for one in again.items] == [1]

    @scenario
    async def test_a_dead_letter_holds_up_nothing_and_can_be_retried(self) -> None:
        (store,) = await self.outboxes()
        run = await submitted(store)
        for _ in range(2):
            await store.request_cancel(run.run_id)
            await store.reopen(run.run_id, executor="in-process")
        batch = await take(store)
        await store.settle(batch, rejected=[rejection(batch, retry_in=None)])
        (dead,) = await store.undelivered()
        assert (dead.sink, dead.id, dead.run_id) == (SINK, batch.items[0].delivery.id, run.run_id)
        assert dead.reason == "no such folder"
        later = await take(store)
        assert [one.delivery.number for one in later.items] == [2], (
            "held up: a dead letter must not hold up later deliveries"
        )
        await store.settle(later, delivered=[later.items[0].delivery.id])
        assert await store.retry_deliveries(sink="other") == 0
        assert await store.retry_deliveries(sink=SINK, dead_only=True) == 1
        again = await take(store)
        assert [(one.delivery.id, one.attempts) for one in again.items] == [(dead.id, 0)]
        assert not await store.undelivered()

    @when("clock")
    @scenario
    async def test_a_sink_that_is_down_is_tried_by_one_worker_after_its_pause(self) -> None:
        first, second = await self.outboxes(2)
        claim = await claimed(first)
        for n in range(3):
            await first.save(claim, artifact(f"c{n}"), concept=None)
        batch = await take(first, limit=2)
        await first.settle(batch, outage=SinkOutage(reason="refused", retry_in=10.0))
        shut = await take(second)
        assert not shut.items, "hammered: no worker may try a sink before its pause ends"
        assert (shut.failures, 0 < shut.retry_in <= 10) == (1, True)
        (figures,) = await second.sink_figures()
        assert (figures.waiting, figures.failures, figures.reason) == (3, 1, "refused")
        await self.advance(11)
        probe = await take(second)
        assert len(probe.items) == 1, "a sink that was down is tried with a single delivery"
        assert not (await take(first)).items, "hammered: only one worker may try the sink"
        await second.settle(probe, delivered=[probe.items[0].delivery.id])
        rest = await take(first)
        assert len(rest.items) == 2
        (figures,) = await first.sink_figures()
        assert (figures.failures, figures.reason, figures.down_for) == (0, None, 0.0)

    @scenario
    async def test_an_outage_that_several_workers_notice_counts_once(self) -> None:
        first, second = await self.outboxes(2)
        claim = await claimed(first)
        for n in range(2):
            await first.save(claim, artifact(f"c{n}"), concept=None)
        batches = [await take(store, limit=1) for store in (first, second)]
        for store, batch in zip((first, second), batches, strict=True):
            await store.settle(batch, outage=SinkOutage(reason="refused", retry_in=10.0))
        (figures,) = await first.sink_figures()
        assert figures.failures == 1
        assert figures.waiting == 2
        assert await first.retry_deliveries() == 0
        probe = await take(first)
        assert len(probe.items) == 1, "`retry_deliveries` must end the pause of a sink"

    @scenario
    async def test_a_sink_may_accept_some_of_a_batch(self) -> None:
        (store,) = await self.outboxes()
        claim = await claimed(store, concepts=4)
        for n in range(4):
            await store.save(claim, artifact(f"c{n}"), concept=None)
        batch = await take(store)
        ids = [item.delivery.id for item in batch.items]
        refused = Rejection(id=ids[1], reason="no", retry_in=None)
        await store.settle(batch, delivered=ids[:1], rejected=[refused])
        left = [item.delivery.id for item in (await take(store)).items]
        assert sorted(left) == sorted(ids[2:]), "the rest of a batch must be due again at once"

    @scenario
    async def test_the_process_that_commits_is_notified(self) -> None:
        (store,) = await self.outboxes()
        calls: list[None] = []
        store.on_outgoing(lambda: calls.append(None))
        claim = await claimed(store)
        assert not calls
        await store.save(claim, artifact(), concept=None)
        assert calls
        calls.clear()
        await store.finish(claim, "completed")
        assert calls


async def take(store: Store, sink: str = SINK, *, limit: int = 100) -> SinkBatch:
    """Claim a batch."""
    return await store.claim_batch(sink, limit=limit, lease=LEASE)


def rejection(batch: SinkBatch, *, retry_in: float | None) -> Rejection:
    """The sink rejects the first delivery of a batch."""
    return Rejection(id=batch.items[0].delivery.id, reason="no such folder", retry_in=retry_in)
