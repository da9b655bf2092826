"""The memory store in virtual time: leases and ages follow the loop's clock."""

import asyncio
from datetime import timedelta

from paceline.contracts.storage.records import Figures
from paceline.testing.contracts.store.inputs import (
    LEASE,
    artifact,
    claimed,
    done,
    must_claim,
    worker,
)
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.store import MemoryStore


@virtual_time
async def test_a_lease_expires_without_beats() -> None:
    store = MemoryStore()
    await store.open()
    await store.register(worker("me"))
    claim = await claimed(store, worker_id="me")
    for _ in range(100):
        await asyncio.sleep(2)
        await store.beat("me", Figures(runs=(claim.run_id,)), lease=LEASE)
    assert await store.claim(claim.run_id, "heir", lease=LEASE) is None
    await asyncio.sleep(LEASE + 1)
    assert await store.workers() == []
    (orphan,) = await store.orphans()
    assert orphan.lapsed
    await must_claim(store, claim.run_id, "heir")
    await store.close()


@virtual_time
async def test_dates_follow_the_clock_of_the_loop() -> None:
    store = MemoryStore()
    claim = await claimed(store)
    await asyncio.sleep(3600)
    await store.save(claim, artifact(), concept=done())
    await store.finish(claim, "completed")
    run = await store.run(claim.run_id)
    assert run.finished_at is not None
    assert run.finished_at - run.created_at == timedelta(hours=1)
