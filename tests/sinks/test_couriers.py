"""Couriers: a sink that is down delays nothing else, and everything is delivered in the end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from paceline import Delivery, Message, Sink, SinkUnavailable, Step, Subject
from paceline.contracts.storage.outbox import SinkRoute
from paceline.contracts.telemetry import Gauges
from paceline.delivery.compose import Composer
from paceline.delivery.courier import Courier
from paceline.delivery.couriers import Couriers
from paceline.delivery.pauses import LONGEST, pause_after
from paceline.settings.model import SinkSettings
from paceline.testing.contracts.store.inputs import artifact, claimed, submitted
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.store import MemoryStore
from pydantic import BaseModel, ConfigDict

Rejected = Mapping[str, str]
Script = Callable[[Sequence[Delivery]], Rejected | None]


def accepts(_: Sequence[Delivery]) -> Rejected | None:
    return None


@dataclass
class Scripted(Sink):
    """A sink that does what a test says."""

    script: Script = accepts
    hangs: bool = False
    seconds: float = 0.0
    batches: list[list[Delivery]] = field(default_factory=list[list[Delivery]])
    tried_at: list[float] = field(default_factory=list[float])

    async def deliver(self, batch: Sequence[Delivery]) -> Rejected | None:
        self.tried_at.append(asyncio.get_running_loop().time())
        if self.hangs:
            await asyncio.Event().wait()
        await asyncio.sleep(self.seconds)
        rejected = self.script(batch)
        self.batches.append(list(batch))
        return rejected

    @property
    def accepted(self) -> list[Delivery]:
        return [one for batch in self.batches for one in batch]


@asynccontextmanager
async def delivering(
    store: MemoryStore,
    settings: SinkSettings | None = None,
    gauges: Gauges | None = None,
    **sinks: Sink,
) -> AsyncIterator[Couriers]:
    """The couriers of one worker, with these sinks."""
    store.deliver_to([SinkRoute(sink=name) for name in sinks])
    composer = Composer(store, {}, "EUR")
    couriers = Couriers(
        store,
        [
            Courier(name, sink, settings or SinkSettings(), store, composer, gauges or Gauges())
            for name, sink in sinks.items()
        ],
    )
    couriers.start()
    try:
        yield couriers
    finally:
        await couriers.stop(5)


@virtual_time
async def test_a_saved_artifact_is_delivered_at_once_with_names_and_markdown() -> None:
    store, sink, gauges = MemoryStore(), Scripted(), Gauges()
    async with delivering(store, gauges=gauges, files=sink):
        claim = await claimed(store)
        await asyncio.sleep(1.1)
        await store.save(claim, artifact("c1", cost=0.25), concept=None)
        await asyncio.sleep(0.01)
        (made,) = sink.accepted
        assert (made.concept_name, made.currency, made.cost) == ("Concept 1", "EUR", 0.25)
        assert "**Text:** …" in made.readable
        await store.finish(claim, "partial", "2 of 3 failed")
        await asyncio.sleep(0.01)
        end = sink.accepted[-1]
        assert (end.kind, end.status, end.reason) == ("run", "partial", "2 of 3 failed")
        assert (end.cost, end.prompt_tokens) == (0.25, 10)
    assert gauges.delivered == {"files": 2}
    assert not sink.batches[2:]


@virtual_time
async def test_what_another_process_committed_is_found_within_a_beat() -> None:
    store, sink = MemoryStore(), Scripted()
    store.deliver_to([SinkRoute(sink="files")])
    async with delivering(store, files=sink):
        store._listeners = ()
        await store.request_cancel((await submitted(store)).run_id)
        await asyncio.sleep(2.1)
        assert len(sink.accepted) == 1


@virtual_time
async def test_a_sink_that_hangs_delays_neither_saves_nor_other_sinks_nor_the_end() -> None:
    store, stuck, other = MemoryStore(), Scripted(hangs=True), Scripted()
    loop = asyncio.get_running_loop()
    async with delivering(store, files=stuck, hook=other):
        claim = await claimed(store)
        await store.save(claim, artifact(), concept=None)
        await asyncio.sleep(1)
        assert len(other.accepted) == 1
        await store.save(claim, artifact("c1"), concept=None)
        assert loop.time() < 1.1
        await asyncio.sleep(100)
        (figures, _) = await store.sink_figures()
        assert figures.reason == "no answer within 30 s (sinks.files.timeout)"
        assert figures.waiting == 2
        ended = loop.time()
    assert loop.time() - ended <= 5


@virtual_time
async def test_a_sink_that_is_down_is_tried_with_growing_pauses_and_then_gets_everything(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="paceline")
    store, loop = MemoryStore(), asyncio.get_running_loop()

    def back_after_an_hour(_: Sequence[Delivery]) -> Rejected | None:
        if loop.time() < 3600:
            raise SinkUnavailable("disk full")
        return None

    sink = Scripted(back_after_an_hour)
    async with delivering(store, files=sink):
        claim = await claimed(store, concepts=30)
        for n in range(30):
            await store.save(claim, artifact(f"c{n}"), concept=None)
        await asyncio.sleep(4000)
    pauses = [
        after - before for before, after in zip(sink.tried_at, sink.tried_at[1:], strict=False)
    ]
    assert pauses[0] < 2
    assert max(pauses) <= LONGEST + 2.1
    assert 12 <= len(sink.tried_at) < 40, f"tried {len(sink.tried_at)} times in an hour"
    assert sorted(one.concept_id for one in sink.accepted) == sorted(f"c{n}" for n in range(30))
    assert caplog.messages == [
        "sink files is down: disk full; deliveries wait in the store until it is back",
        "sink files is reachable again",
    ]


@virtual_time
async def test_ten_workers_do_not_hammer_a_sink_that_is_down() -> None:
    store = MemoryStore()

    def down(_: Sequence[Delivery]) -> Rejected | None:
        raise SinkUnavailable("refused")

    sinks = [Scripted(down) for _ in range(10)]
    store.deliver_to([SinkRoute(sink="files")])
    composer = Composer(store, {}, "USD")
    workers = [
        Couriers(store, [Courier("files", one, SinkSettings(), store, composer, Gauges())])
        for one in sinks
    ]
    for worker in workers:
        worker.start()
    claim = await claimed(store, concepts=30)
    for n in range(30):
        await store.save(claim, artifact(f"c{n}"), concept=None)
    await asyncio.sleep(600)
    assert sum(len(sink.tried_at) for sink in sinks) <= 15
    for worker in workers:
        await worker.stop(1)


@virtual_time
async def test_the_receiver_decides_how_long_to_wait() -> None:
    store, loop = MemoryStore(), asyncio.get_running_loop()

    def busy(_: Sequence[Delivery]) -> Rejected | None:
        if loop.time() < 50:
            raise SinkUnavailable("429", retry_after=60)
        return None

    sink = Scripted(busy)
    async with delivering(store, files=sink):
        await store.save(await claimed(store), artifact(), concept=None)
        await asyncio.sleep(70)
    assert len(sink.tried_at) == 2
    assert 60 <= sink.tried_at[1] < 63


@virtual_time
async def test_what_a_sink_accepted_before_it_failed_is_not_delivered_again() -> None:
    store = MemoryStore()

    def half(batch: Sequence[Delivery]) -> Rejected | None:
        if len(batch) > 1:
            raise SinkUnavailable("cut", delivered=[one.id for one in batch[:2]])
        return None

    sink = Scripted(half)
    claim = await claimed(store, concepts=3)
    store.deliver_to([SinkRoute(sink="files")])
    for n in range(3):
        await store.save(claim, artifact(f"c{n}"), concept=None)
    async with delivering(store, files=sink):
        await asyncio.sleep(5)
    assert [one.concept_id for one in sink.accepted] == ["c2"]
    (figures,) = await store.sink_figures()
    assert (figures.delivered, figures.waiting) == (3, 0)


@virtual_time
async def test_a_rejected_delivery_becomes_a_dead_letter_and_others_are_delivered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, gauges = MemoryStore(), Gauges()

    def picky(batch: Sequence[Delivery]) -> Rejected | None:
        return {one.id: "answers 422" for one in batch if one.concept_id == "c1"}

    sink = Scripted(picky)
    async with delivering(store, SinkSettings(attempts=3), gauges, files=sink):
        claim = await claimed(store)
        for n in range(3):
            await store.save(claim, artifact(f"c{n}"), concept=None)
        await asyncio.sleep(30)
        (dead,) = await store.undelivered()
        assert (dead.concept_id, dead.reason) == ("c1", "answers 422")
        assert [one.concept_id for one in sink.accepted].count("c1") == 3
        assert gauges.dead_letters == {"files": 1}
        (figures,) = await store.sink_figures()
        assert (figures.delivered, figures.dead, figures.failures) == (2, 1, 0)
        assert "rejected tutorial of concept c1, version 1" in caplog.text
        sink.script = accepts
        assert await store.retry_deliveries() == 1
        await asyncio.sleep(3)
        assert not await store.undelivered()
        assert sink.accepted[-1].id == dead.id


@virtual_time
async def test_a_bug_in_a_sink_makes_a_dead_letter_of_what_caused_it_and_no_more() -> None:
    store = MemoryStore()

    def buggy(batch: Sequence[Delivery]) -> Rejected | None:
        if any(one.concept_id == "c1" for one in batch):
            raise KeyError("no title")
        return None

    sink = Scripted(buggy)
    claim = await claimed(store, concepts=6)
    store.deliver_to([SinkRoute(sink="files")])
    for n in range(6):
        await store.save(claim, artifact(f"c{n}"), concept=None)
    async with delivering(store, SinkSettings(attempts=2), files=sink):
        await asyncio.sleep(600)
    (dead,) = await store.undelivered()
    assert (dead.concept_id, dead.reason) == ("c1", "KeyError: 'no title'")
    assert sorted(one.concept_id for one in sink.accepted) == ["c0", "c2", "c3", "c4", "c5"]


@virtual_time
async def test_a_stopping_worker_ends_its_batch_and_takes_no_more() -> None:
    store, slow = MemoryStore(), Scripted(seconds=3)
    store.deliver_to([SinkRoute(sink="files")])
    claim = await claimed(store)
    for n in range(3):
        await store.save(claim, artifact(f"c{n}"), concept=None)
    async with delivering(store, SinkSettings(batch=1), files=slow):
        await asyncio.sleep(1)
    assert len(slow.accepted) == 1
    (figures,) = await store.sink_figures()
    assert (figures.delivered, figures.waiting) == (1, 2)


@virtual_time
async def test_a_process_that_ends_delivers_what_is_due_and_says_what_waits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()

    def down(_: Sequence[Delivery]) -> Rejected | None:
        raise SinkUnavailable("refused")

    good, bad = Scripted(seconds=1), Scripted(down)
    store.deliver_to([SinkRoute(sink="good"), SinkRoute(sink="bad")])
    claim = await claimed(store)
    for n in range(3):
        await store.save(claim, artifact(f"c{n}"), concept=None)
    async with delivering(store, SinkSettings(batch=1), good=good, bad=bad) as couriers:
        await couriers.flush(10)
        assert len(good.accepted) == 3
    assert caplog.messages[-1] == (
        "3 deliveries wait for sink bad; a worker or `paceline sinks deliver` delivers what waits "
        "(refused)"
    )


@virtual_time
async def test_a_bug_in_a_step_does_not_hold_up_the_sink() -> None:
    class Anything(BaseModel):
        model_config = ConfigDict(extra="allow")

    class Broken(Step):
        answer = Anything

        def prompt(self, subject: Subject) -> Sequence[Message]:
            return []

        def readable(self, answer: BaseModel) -> str:
            raise KeyError("title")

    store = MemoryStore()
    composer = Composer(store, {"tutorial": Broken()}, "USD")
    store.deliver_to([SinkRoute(sink="files")])
    await store.save(await claimed(store), artifact(content='{"a": 1}'), concept=None)
    batch = await store.claim_batch("files", limit=1, lease=30)
    (made,) = await composer.complete(batch.items)
    assert made.readable == "## tutorial\n\n**A:** 1"


def test_pauses_grow_up_to_five_minutes() -> None:
    assert 0.75 <= pause_after(1) <= 1
    assert 6 <= pause_after(4) <= 8
    assert 225 <= pause_after(50) <= 300
    assert pause_after(1, at_least=20) == 20
    assert pause_after(1, at_least=1e9) == LONGEST
