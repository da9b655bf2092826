"""Leases that the ledger granted by a notification."""

import asyncio

from paceline.contracts.admission.ledger import Quota
from paceline.contracts.admission.work import Done, Work
from paceline.testing.lease_ledger import LeaseLedger, LedgerConnection
from paceline.testing.virtual_time import virtual_time
from paceline_strategies.global_limit import GlobalLimit

WORK = Work(level="call", run_id="r", roadmap_id="m", concept_id="c", key="openai:x")


@virtual_time
async def test_a_worker_that_dies_a_second_after_a_notification_keeps_its_lease() -> None:
    ledger = LeaseLedger(lease_seconds=30)
    connections = [LedgerConnection(ledger) for _ in range(3)]
    first, second, third = (
        GlobalLimit(Quota(concurrency=1), one, holder=f"worker{number}")
        for number, one in enumerate(connections)
    )
    permit = await first.admit(WORK)
    waiter = asyncio.create_task(second.admit(WORK))
    await asyncio.sleep(1)
    permit.release(Done())
    await asyncio.sleep(1)
    assert waiter.done(), "the second worker was notified"
    connections[1].cut()
    late = asyncio.create_task(third.admit(WORK))
    await asyncio.sleep(15)
    assert not late.done(), "the dead worker's call may still be in flight"
    await asyncio.sleep(20)
    assert late.done(), "its lease has expired"
    for strategy in (first, third):
        await strategy.close()
    await ledger.close()
