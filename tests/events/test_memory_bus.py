"""What is special to the bus of one process."""

import asyncio

from paceline.testing.contracts.event_bus import event, numbers, receive
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.memory.bus import MemoryBus


@virtual_time
async def test_events_of_inactive_runs_expire() -> None:
    now = 1_000_000.0

    bus = MemoryBus(keep=60.0, clock=lambda: now)
    await bus.publish([event(0, run="old")])
    now += 50
    await bus.publish([event(0, run="young")])
    position = (await receive(bus, 1, run="old"))[0].position
    now += 20
    await bus.publish([event(1, run="young")])
    assert numbers(await receive(bus, 1, position, run="old")) == [-1]
    assert numbers(await receive(bus, 2, run="young")) == [0, 1]


@virtual_time
async def test_a_closed_subscription_leaves_nothing_behind() -> None:
    bus = MemoryBus()
    tasks = [asyncio.create_task(receive(bus, 1)) for _ in range(5)]
    await asyncio.sleep(0)
    assert len(bus._waiting["r"]) == 5
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert not bus._waiting
