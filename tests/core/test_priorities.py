"""Priorities of runs: the order of claims, and revisions before bulk work."""

import asyncio

import pytest
from paceline import Share, Strategy, UsageError, Work
from paceline.contracts.admission.work import Permit
from paceline.contracts.share import AHEAD, Priority
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.store import MemoryStore

from tests.support.memory_worker import a_roadmap, rig


class Watching(Strategy):
    """Admits everything, and keeps what asked."""

    def __init__(self) -> None:
        self.asked: list[Work] = []

    async def admit(self, work: Work) -> Permit:
        self.asked.append(work)
        return Permit()


async def submitted(store: MemoryStore, priority: Priority, name: str) -> str:
    share = Share("acme", priority=priority)
    run, _ = await store.create_run(a_roadmap(1, name), executor="in-process", share=share)
    assert run.share.priority == priority
    return name


@virtual_time
async def test_an_urgent_run_is_claimed_before_runs_that_wait_already() -> None:
    store = MemoryStore()
    order: list[Priority] = ["low", "normal", "high", "low", "normal", "high"]
    for number, priority in enumerate(order):
        await submitted(store, priority, f"{priority}-{number}")
        await asyncio.sleep(1)
    claims = [await store.claim_next("in-process", "me", lease=30) for _ in order]
    assert [one.roadmap_id for one in claims if one] == [
        *("high-2", "high-5", "normal-1", "normal-4", "low-0", "low-3"),
    ]
    assert [one.share.priority for one in claims if one] == [
        *("high", "high", "normal", "normal", "low", "low"),
    ]


@virtual_time
async def test_a_low_run_waits_behind_no_run_that_is_submitted_after_the_bound() -> None:
    store = MemoryStore()
    await submitted(store, "low", "patient")
    bound = AHEAD["high"] - AHEAD["low"]
    claimed: list[str] = []
    for number in range(200):  # urgent runs arrive as fast as they are claimed
        await submitted(store, "high", f"high-{number}")
        claim = await store.claim_next("in-process", "me", lease=30)
        assert claim is not None
        claimed.append(claim.roadmap_id)
        await asyncio.sleep(10)
    assert claimed.index("patient") == bound / 10


@virtual_time
async def test_a_run_with_a_revision_is_claimed_before_bulk_work_and_its_calls_are_urgent() -> None:
    watching = Watching()
    async with rig(strategies=[("watching", watching)]) as it:
        share = Share("acme", priority="low")
        run, _ = await it.client.submit(a_roadmap(2), share=share)
        await it.worker.run(run.run_id)
        assert {work.priority for work in watching.asked} == {"low"}
        watching.asked.clear()
        for number in range(3):
            await it.client.submit(a_roadmap(1, f"bulk-{number}"))
        await it.client.revise(run.run_id, [("c0", "tutorial")])
        claim = await it.store.claim_next("in-process", it.worker.record.worker_id, lease=30)
        assert claim is not None
        assert claim.run_id == run.run_id
        await it.worker.work_on(claim)
        assert {work.priority for work in watching.asked} == {"high"}


@virtual_time
async def test_the_priority_is_checked() -> None:
    with pytest.raises(UsageError, match="one of high, normal, low"):
        Share(priority="urgent")  # type: ignore[arg-type]
