"""Following a run through a loss of events."""

import asyncio

from paceline.client.follow import follow
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.bus import MemoryBus
from paceline_adapters.memory.store import MemoryStore

from tests.support.memory_worker import a_roadmap


@virtual_time
async def test_a_follower_that_missed_events_gets_a_resync_and_a_snapshot() -> None:
    store, bus = MemoryStore(), MemoryBus()
    await store.open()
    run, _ = await store.create_run(a_roadmap(3), executor="in-process")
    events = follow(store, bus, run.run_id, after="5-5")
    async with asyncio.timeout(4):
        heard = [await anext(events), await anext(events)]
    await bus.close()
    assert [event.type for event in heard] == ["resync_required", "content_generation_snapshot"]
    assert heard[1].progress_total == 3
