"""Notes of steps in the live feed: they reach clients of events, and change no state."""

import json
from typing import Any

from paceline.contracts.events import StreamPosition
from paceline.contracts.telemetry import Gauges
from paceline.generation.event_publisher import EventPublisher
from paceline.generation.progress import Progress
from paceline.live.feed import Feed, StreamMessage
from paceline.live.hub import Hub
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.bus import MemoryBus
from paceline_adapters.memory.store import MemoryStore

from tests.support.memory_worker import a_roadmap

KEPT = 5
NOTE = "content_generation_note"


def events(messages: list[StreamMessage]) -> list[dict[str, Any]]:
    """The events of messages."""
    return [json.loads(one.text) for one in messages]


@virtual_time
async def test_notes_reach_clients_of_events_and_no_client_of_states() -> None:
    store, bus = MemoryStore(), MemoryBus(max_length=100)
    hub = Hub(store, bus, kept=KEPT)
    run, _ = await store.create_run(a_roadmap(2), executor="x", new=True)
    claim = await store.claim(run.run_id, "w", lease=1e6)
    assert claim is not None
    outbox = EventPublisher(bus, Gauges())
    progress = Progress(claim, 2, outbox)
    progress.snapshot()
    await outbox.flush()
    async with Feed(hub, level="concept") as every, Feed(hub, level="roadmap") as state:
        for feed in (every, state):
            await feed.follow(run.run_id)
            assert len(await feed.next()) == 1
        progress.note("c0", "resources", "searching")
        await outbox.flush()
        [note] = events(await every.next())
        assert (note["type"], note["concept_id"], note["step"]) == (NOTE, "c0", "resources")
        assert (note["reason"], note["progress_current"]) == ("searching", 0)
        channel = hub.channel(run.run_id)
        assert channel is not None
        assert channel.generating == set()
        assert (channel.state.type, channel.state.reason) == ("content_generation_snapshot", None)
        for number in range(KEPT - 2):
            progress.note("c0", "resources", f"page {number}")
        await outbox.flush()
        progress.saved("c0", "quiz", completed=True)
        await outbox.flush()
        [told] = events(await state.next())
        assert (told["type"], told["progress_current"]) == ("content_generation_snapshot", 1)
        place = StreamPosition(told["epoch"], told["offset"])
        assert place == channel.newest
    await hub.close()
    await bus.close()


@virtual_time
async def test_a_client_of_states_is_not_resynchronized_by_notes_alone() -> None:
    store, bus = MemoryStore(), MemoryBus(max_length=100)
    hub = Hub(store, bus, kept=KEPT)
    run, _ = await store.create_run(a_roadmap(1), executor="x", new=True)
    claim = await store.claim(run.run_id, "w", lease=1e6)
    assert claim is not None
    outbox = EventPublisher(bus, Gauges())
    progress = Progress(claim, 1, outbox)
    progress.snapshot()
    await outbox.flush()
    received: list[StreamMessage] = []
    async with Feed(hub, level="roadmap") as feed:
        await feed.follow(run.run_id)
        received += await feed.next()
        for number in range(10):
            progress.note("c0", "resources", f"page {number}")
            await outbox.flush()
            feed.notify(run.run_id)
            received += feed._read()
        progress.saved("c0", "quiz", completed=True)
        await outbox.flush()
        received += await feed.next()
    assert [one.resync for one in received] == [False, False]
    await hub.close()
    await bus.close()
