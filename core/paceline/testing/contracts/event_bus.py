"""What every event bus promises: order, no event lost silently, nothing after the last one."""

import asyncio
import itertools
from contextlib import aclosing
from typing import cast

import pytest
from hypothesis.stateful import run_state_machine_as_test

from paceline.contracts.events import Event, EventBus, EventType, StreamPosition
from paceline.testing.contracts.contract import scenario
from paceline.testing.contracts.event_bus_base import EventBusScenarios
from paceline.testing.contracts.event_bus_machine import Streams


def event(
    finished: int,
    type_: EventType = "content_generation_progress",
    *,
    fence: int = 1,
    run: str = "r",
) -> Event:
    """An event of a run. The number of finished concepts identifies it."""
    return Event(
        type=type_,
        task_id=run,
        roadmap_id="roadmap",
        status="x",
        progress_current=finished,
        progress_total=99,
        fence=fence,
    )


def snapshot(finished: int = 0, *, fence: int = 1) -> Event:
    """The event that opens a claim."""
    return event(finished, "content_generation_snapshot", fence=fence)


def the_end(finished: int = 99, *, fence: int = 1) -> Event:
    """The last event of a run."""
    return event(finished, "content_generation_finished", fence=fence)


async def receive(
    bus: EventBus, count: int, after: str | None = None, *, run: str = "r"
) -> list[Event]:
    """Receive that many events of a run."""
    received: list[Event] = []
    async with asyncio.timeout(20), aclosing(bus.subscribe(run, after)) as events:
        while len(received) < count:
            received.append(await anext(events))
    return received


def numbers(events: list[Event]) -> list[int]:
    """The numbers that identify the events; -1 for a ``resync_required``."""
    return [-1 if one.type == "resync_required" else one.progress_current for one in events]


class EventBusContract(EventBusScenarios):
    """Inherit it, and make a bus that retains `kept` events of a run.

    Declare:
        kept: number of events of a run that the bus you make retains.
        loses: whether ``lose`` makes the bus lose its events, like a server that is flushed.
        steps: number of steps of a random scenario.
    """

    def test_any_order_of_steps_leaves_no_silent_gap(self) -> None:
        """Publish, trim, end, lose, connect and reconnect with the last position, in any order."""
        runs = (f"life-{number}" for number in itertools.count())
        run_state_machine_as_test(
            cast("type[Streams]", lambda: Streams(self, next(runs))),
            settings=self.bounds(self.steps),
        )

    @scenario
    async def test_offsets_rise_by_one_in_one_epoch(self) -> None:
        bus = await self.new_bus()
        await bus.publish([snapshot(), event(1)])
        await bus.publish([event(2), the_end()])
        received = await receive(bus, 4)
        assert [one.offset for one in received] == [1, 2, 3, 4]
        assert len({one.epoch for one in received}) == 1
        assert received[0].epoch > 0

    @scenario
    async def test_all_other_fields_arrive_unchanged(self) -> None:
        bus = await self.new_bus()
        sent = event(7).model_copy(update={"concept_id": "c", "step": "quiz", "reason": "ü\n"})
        await bus.publish([sent])
        received = (await receive(bus, 1))[0]
        assert received.model_copy(update={"offset": 0, "epoch": 0}) == sent

    @scenario
    async def test_early_and_late_subscribers_receive_the_same(self) -> None:
        bus = await self.new_bus()
        subscribers = asyncio.create_task(receive(bus, 5))
        for number in range(5):
            await bus.publish([event(number)])
        assert numbers(await subscribers) == [0, 1, 2, 3, 4]
        assert await receive(bus, 5) == await subscribers

    @scenario
    async def test_a_subscriber_resumes_after_its_last_event(self) -> None:
        bus = await self.new_bus()
        await bus.publish([event(number) for number in range(5)])
        seen = await receive(bus, 3)
        await bus.publish([event(5)])
        assert numbers(await receive(bus, 3, seen[-1].position)) == [3, 4, 5]

    @scenario
    async def test_the_newest_position_is_that_of_the_last_event(self) -> None:
        bus = await self.new_bus()
        assert await bus.newest("r") == "0-0"
        await bus.publish([event(number) for number in range(3)])
        assert await bus.newest("r") == (await receive(bus, 3))[-1].position
        assert await bus.newest("another") == "0-0"

    @scenario
    async def test_runs_published_together_stay_separate(self) -> None:
        bus = await self.new_bus()
        runs = ["a", "b:c", "{d}", "ü"]
        await bus.publish([event(number, run=run) for number in range(3) for run in runs])
        for run in runs:
            received = await receive(bus, 3, run=run)
            assert numbers(received) == [0, 1, 2]
            assert [one.offset for one in received] == [1, 2, 3]

    @scenario
    async def test_events_of_an_older_claim_are_dropped(self) -> None:
        bus = await self.new_bus()
        await bus.publish([event(1, fence=1), snapshot(2, fence=2), event(3, fence=1)])
        await bus.publish([event(4, fence=1), event(5, fence=2)])
        assert numbers(await receive(bus, 3)) == [1, 2, 5]

    @scenario
    async def test_nothing_follows_the_last_event(self) -> None:
        bus = await self.new_bus()
        await bus.publish([snapshot(0), the_end(1), event(2), snapshot(3), the_end(4)])
        await bus.publish([event(5, fence=2), the_end(6, fence=2)])
        async with aclosing(bus.subscribe("r")) as events:
            assert numbers([await anext(events), await anext(events)]) == [0, 1]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(events), 0.2)

    @scenario
    async def test_a_resumed_run_opens_a_new_epoch_with_a_resync(self) -> None:
        bus = await self.new_bus()
        await bus.publish([snapshot(0), the_end(1)])
        async with aclosing(bus.subscribe("r")) as events:
            before = [await anext(events), await anext(events)]
            await bus.publish([snapshot(2, fence=2), event(3, fence=2)])
            after = [await anext(events) for _ in range(3)]
        assert numbers(before + after) == [0, 1, -1, 2, 3]
        assert after[0].epoch == after[1].epoch > before[0].epoch
        assert [one.offset for one in after] == [0, 1, 2]
        assert numbers(await receive(bus, 3, before[-1].position)) == [-1, 2, 3]
        assert numbers(await receive(bus, 2)) == [2, 3]

    @scenario
    async def test_missing_events_that_are_not_retained_are_reported(self) -> None:
        bus = await self.new_bus()
        await bus.publish([event(0)])
        seen = (await receive(bus, 1))[0]
        await bus.publish([event(number) for number in range(1, 10 * self.kept)])
        received = await receive(bus, 2, seen.position)
        assert numbers(received)[0] == -1
        assert received[1].offset == received[0].offset + 1 > 2
        # A subscriber that begins with the oldest retained event has missed some too.
        assert numbers(await receive(bus, 1)) == [-1]
        # The position of the resync event is valid for resuming.
        assert (await receive(bus, 1, received[0].position))[0] == received[1]

    @scenario
    async def test_a_malformed_position_is_reported_as_lost(self) -> None:
        bus = await self.new_bus()
        await bus.publish([event(0), event(1)])
        for after in ("", "x", "1", "-1", "1-", "1--2", "5-1", "9" * 99, "１-１"):
            received = numbers(await receive(bus, 3, after))
            assert received == [-1, 0, 1], (
                f"lost silently: a subscriber with the malformed position {after!r} received "
                f"{received}; send it `resync_required`, then all retained events"
            )

    @scenario
    async def test_a_position_beyond_the_newest_event_is_lost(self) -> None:
        bus = await self.new_bus()
        await bus.publish([event(0)])
        last = (await receive(bus, 1))[0]
        beyond = str(StreamPosition(last.epoch, 7))
        assert numbers(await receive(bus, 2, beyond)) == [-1, 0]

    @scenario
    async def test_a_position_in_a_run_without_events_is_lost(self) -> None:
        bus = await self.new_bus()
        assert numbers(await receive(bus, 1, "1700000000000-3")) == [-1]

    @scenario
    async def test_many_subscribers_of_a_run_receive_all_events(self) -> None:
        bus = await self.new_bus()
        subscribers = [asyncio.create_task(receive(bus, 20)) for _ in range(50)]
        for number in range(20):
            await bus.publish([event(number)])
        for received in await asyncio.gather(*subscribers):
            assert numbers(received) == list(range(20))

    @scenario
    async def test_a_slow_reader_misses_no_retained_event(self) -> None:
        bus = await self.new_bus()
        received: list[Event] = []
        async with aclosing(bus.subscribe("r")) as events:
            await bus.publish([event(0)])
            received.append(await anext(events))
            for start in range(1, self.kept, 9):
                await bus.publish([event(number) for number in range(start, start + 9)])
            received += [await anext(events) for _ in range(self.kept - 1)]
        assert numbers(received) == list(range(self.kept))

    @scenario
    async def test_closing_the_bus_ends_the_subscriptions(self) -> None:
        bus = await self.new_bus()

        async def all_events() -> list[Event]:
            return [one async for one in bus.subscribe("r")]

        subscribers = [asyncio.create_task(all_events()) for _ in range(3)]
        await bus.publish([event(0)])
        assert await receive(bus, 1)
        await bus.close()
        for received in await asyncio.wait_for(asyncio.gather(*subscribers), 10):
            assert numbers(received) in ([], [0])

    @scenario
    async def test_concurrent_publishers_keep_their_order(self) -> None:
        bus = await self.new_bus()
        await asyncio.gather(*(bus.publish([event(number)]) for number in range(50)))
        assert numbers(await receive(bus, 50)) == list(range(50))
