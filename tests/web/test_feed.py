"""A client that followed many runs reconnects."""

import asyncio

from paceline.contracts.events import StreamPosition
from paceline.contracts.share import Share
from paceline.live.feed import PATIENCE, Feed
from paceline.live.hub import Hub
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.bus import MemoryBus
from paceline_adapters.memory.store import MemoryStore

from tests.support.memory_worker import a_roadmap


@virtual_time
async def test_the_feed_waits_for_all_unknown_positions_at_the_same_time() -> None:
    store, bus = MemoryStore(), MemoryBus(max_length=10)
    hub = Hub(store, bus, kept=10)
    runs = [(await store.create_run(a_roadmap(1), executor="x", new=True))[0] for _ in range(50)]
    future = StreamPosition(9_999_999_999_999_999, 1)
    begun = asyncio.get_running_loop().time()
    async with Feed(hub) as feed:
        await feed.follow_all({run.run_id: future for run in runs})
        assert feed.runs == 50
        assert asyncio.get_running_loop().time() - begun <= 2 * PATIENCE
    await hub.close()
    await bus.close()


@virtual_time
async def test_positions_in_runs_of_other_tenants_are_ignored() -> None:
    store, bus = MemoryStore(), MemoryBus(max_length=10)
    hub = Hub(store, bus, kept=10)
    made = {
        tenant: (await store.create_run(a_roadmap(1), executor="x", new=True, share=Share(tenant)))[
            0
        ].run_id
        for tenant in ("", "a", "b")
    }
    places = dict.fromkeys([*made.values(), "of nothing"], StreamPosition(1, 1))
    async with Feed(hub, tenant="a") as feed:
        await feed.follow_all(places)
        told = await feed.next()
        assert feed.runs == 1
        assert all(made["a"] in one.text for one in told)
        assert hub.channel(made["b"]) is None, "nor is it read on their behalf"
    await hub.close()
    await bus.close()
