"""What every event bus promises: order, no event lost unseen, nothing after the last."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any, ClassVar, cast

import pytest
from hypothesis.stateful import run_state_machine_as_test

from paceline.contracts.events import Event, EventBus, EventType, StreamPosition
from paceline.testing.contracts.contract import Contract
from paceline.testing.contracts.event_bus_machine import Streams


def event(
    finished: int,
    type_: EventType = "content_generation_progress",
    *,
    fence: int = 1,
    run: str = "r",
) -> Event:
    """An event of a run, told apart by how many concepts it says are finished."""
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


async def hear(
    bus: EventBus, count: int, after: str | None = None, *, run: str = "r"
) -> list[Event]:
    """That many events of a run."""
    heard: list[Event] = []
    async with asyncio.timeout(20), aclosing(bus.subscribe(run, after)) as events:
        while len(heard) < count:
            heard.append(await anext(events))
    return heard


def numbers(events: list[Event]) -> list[int]:
    """What ``event`` was given; -1 for a ``resync_required``."""
    return [-1 if one.type == "resync_required" else one.progress_current for one in events]


class EventBusContract(Contract):
    """Inherit it, and make a bus that keeps `kept` events of a run.

    Declare:
        kept: how many events of a run the bus that you make keeps.
        loses: whether ``lose`` makes it forget, as a server does that is flushed.
        steps: how many steps a random scenario has.
    """

    kept: ClassVar[int] = 100
    loses: ClassVar[bool] = False
    steps: ClassVar[int] = 20

    def bus(self) -> EventBus:
        """Make your bus, empty when the test begins; called on the event loop.

        Where it is ``shared``, each call is another process that sees the same runs.
        """
        raise NotImplementedError(f"{type(self).__name__}.bus() makes the bus to test")

    async def lose(self) -> None:
        """Lose all that is kept; asked only where you declare ``loses``."""
        raise NotImplementedError(f"{type(self).__name__}.lose() makes it forget")

    def on_a_bus(self, scenario: Callable[[EventBus], Coroutine[Any, Any, None]]) -> None:
        """Run a scenario on a new bus, closed in the end."""

        async def with_bus() -> None:
            bus = self.bus()
            self.opened.push_async_callback(bus.close)
            try:
                async with asyncio.timeout(60):
                    await scenario(bus)
            except TimeoutError:
                raise AssertionError(
                    "lost event: a subscriber waits for one that was published and never came"
                ) from None

        self.play(with_bus())

    def test_any_order_of_steps_leaves_nobody_with_a_gap_untold(self) -> None:
        """Publish, trim, end, lose, connect, reconnect with the last offset, in any order."""
        runs = (f"life-{number}" for number in itertools.count())
        run_state_machine_as_test(
            cast("type[Streams]", lambda: Streams(self, next(runs))),
            settings=self.bounds(self.steps),
        )

    def test_offsets_rise_by_one_in_one_epoch(self) -> None:
        async def scenario(bus: EventBus) -> None:
            await bus.publish([snapshot(), event(1)])
            await bus.publish([event(2), the_end()])
            heard = await hear(bus, 4)
            assert [one.offset for one in heard] == [1, 2, 3, 4]
            assert len({one.epoch for one in heard}) == 1
            assert heard[0].epoch > 0

        self.on_a_bus(scenario)

    def test_everything_else_arrives_as_it_was_published(self) -> None:
        async def scenario(bus: EventBus) -> None:
            sent = event(7).model_copy(update={"concept_id": "c", "step": "quiz", "reason": "ü\n"})
            await bus.publish([sent])
            heard = (await hear(bus, 1))[0]
            assert heard.model_copy(update={"offset": 0, "epoch": 0}) == sent

        self.on_a_bus(scenario)

    def test_who_listens_hears_at_once_and_who_comes_later_hears_the_same(self) -> None:
        async def scenario(bus: EventBus) -> None:
            listening = asyncio.create_task(hear(bus, 5))
            for number in range(5):
                await bus.publish([event(number)])
            assert numbers(await listening) == [0, 1, 2, 3, 4]
            assert await hear(bus, 5) == await listening

        self.on_a_bus(scenario)

    def test_a_subscriber_goes_on_after_the_last_event_it_saw(self) -> None:
        async def scenario(bus: EventBus) -> None:
            await bus.publish([event(number) for number in range(5)])
            seen = await hear(bus, 3)
            await bus.publish([event(5)])
            assert numbers(await hear(bus, 3, seen[-1].position)) == [3, 4, 5]

        self.on_a_bus(scenario)

    def test_the_newest_position_is_that_of_the_last_event(self) -> None:
        async def scenario(bus: EventBus) -> None:
            assert await bus.newest("r") == "0-0"
            await bus.publish([event(number) for number in range(3)])
            assert await bus.newest("r") == (await hear(bus, 3))[-1].position
            assert await bus.newest("another") == "0-0"

        self.on_a_bus(scenario)

    def test_runs_are_apart_though_published_together(self) -> None:
        async def scenario(bus: EventBus) -> None:
            runs = ["a", "b:c", "{d}", "ü"]
            await bus.publish([event(number, run=run) for number in range(3) for run in runs])
            for run in runs:
                heard = await hear(bus, 3, run=run)
                assert numbers(heard) == [0, 1, 2]
                assert [one.offset for one in heard] == [1, 2, 3]

        self.on_a_bus(scenario)

    def test_an_older_claim_is_not_heard_any_more(self) -> None:
        async def scenario(bus: EventBus) -> None:
            await bus.publish([event(1, fence=1), snapshot(2, fence=2), event(3, fence=1)])
            await bus.publish([event(4, fence=1), event(5, fence=2)])
            assert numbers(await hear(bus, 3)) == [1, 2, 5]

        self.on_a_bus(scenario)

    def test_nothing_follows_the_last_event(self) -> None:
        async def scenario(bus: EventBus) -> None:
            await bus.publish([snapshot(0), the_end(1), event(2), snapshot(3), the_end(4)])
            await bus.publish([event(5, fence=2), the_end(6, fence=2)])
            async with aclosing(bus.subscribe("r")) as events:
                assert numbers([await anext(events), await anext(events)]) == [0, 1]
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(events), 0.2)

        self.on_a_bus(scenario)

    def test_a_run_that_goes_on_opens_a_new_epoch_and_says_so(self) -> None:
        async def scenario(bus: EventBus) -> None:
            await bus.publish([snapshot(0), the_end(1)])
            async with aclosing(bus.subscribe("r")) as events:
                before = [await anext(events), await anext(events)]
                await bus.publish([snapshot(2, fence=2), event(3, fence=2)])
                after = [await anext(events) for _ in range(3)]
            assert numbers(before + after) == [0, 1, -1, 2, 3]
            assert after[0].epoch == after[1].epoch > before[0].epoch
            assert [one.offset for one in after] == [0, 1, 2]
            assert numbers(await hear(bus, 3, before[-1].position)) == [-1, 2, 3]
            assert numbers(await hear(bus, 2)) == [2, 3]

        self.on_a_bus(scenario)

    def test_who_missed_what_is_no_longer_kept_is_told_so(self) -> None:
        async def scenario(bus: EventBus) -> None:
            await bus.publish([event(0)])
            seen = (await hear(bus, 1))[0]
            await bus.publish([event(number) for number in range(1, 10 * self.kept)])
            heard = await hear(bus, 2, seen.position)
            assert numbers(heard)[0] == -1
            assert heard[1].offset == heard[0].offset + 1 > 2
            # Whoever begins with the oldest that is kept missed something as well.
            assert numbers(await hear(bus, 1)) == [-1]
            # The place that the warning names is where to go on from.
            assert (await hear(bus, 1, heard[0].position))[0] == heard[1]

        self.on_a_bus(scenario)

    def test_a_position_that_is_none_is_told_to_be_lost(self) -> None:
        async def scenario(bus: EventBus) -> None:
            await bus.publish([event(0), event(1)])
            for after in ("", "x", "1", "-1", "1-", "1--2", "5-1", "9" * 99, "１-１"):
                heard = numbers(await hear(bus, 3, after))
                assert heard == [-1, 0, 1], (
                    f"lost silently: a subscriber with the position {after!r}, which is none, "
                    f"heard {heard}; send it `resync_required`, then all that is kept"
                )

        self.on_a_bus(scenario)

    def test_a_position_beyond_the_newest_event_is_lost(self) -> None:
        async def scenario(bus: EventBus) -> None:
            await bus.publish([event(0)])
            last = (await hear(bus, 1))[0]
            beyond = str(StreamPosition(last.epoch, 7))
            assert numbers(await hear(bus, 2, beyond)) == [-1, 0]

        self.on_a_bus(scenario)

    def test_a_position_in_a_run_of_which_nothing_is_kept_is_lost(self) -> None:
        async def scenario(bus: EventBus) -> None:
            assert numbers(await hear(bus, 1, "1700000000000-3")) == [-1]

        self.on_a_bus(scenario)

    def test_many_subscribers_of_a_run_all_hear_all(self) -> None:
        async def scenario(bus: EventBus) -> None:
            listening = [asyncio.create_task(hear(bus, 20)) for _ in range(50)]
            for number in range(20):
                await bus.publish([event(number)])
            for heard in await asyncio.gather(*listening):
                assert numbers(heard) == list(range(20))

        self.on_a_bus(scenario)

    def test_who_reads_slowly_misses_nothing_that_is_kept(self) -> None:
        async def scenario(bus: EventBus) -> None:
            heard: list[Event] = []
            async with aclosing(bus.subscribe("r")) as events:
                await bus.publish([event(0)])
                heard.append(await anext(events))
                for start in range(1, self.kept, 9):
                    await bus.publish([event(number) for number in range(start, start + 9)])
                heard += [await anext(events) for _ in range(self.kept - 1)]
            assert numbers(heard) == list(range(self.kept))

        self.on_a_bus(scenario)

    def test_closing_the_bus_ends_the_subscriptions(self) -> None:
        async def scenario(bus: EventBus) -> None:
            async def all_events() -> list[Event]:
                return [one async for one in bus.subscribe("r")]

            listening = [asyncio.create_task(all_events()) for _ in range(3)]
            await bus.publish([event(0)])
            assert await hear(bus, 1)
            await bus.close()
            for heard in await asyncio.wait_for(asyncio.gather(*listening), 10):
                assert numbers(heard) in ([], [0])

        self.on_a_bus(scenario)

    def test_publishers_at_the_same_time_keep_their_order(self) -> None:
        async def scenario(bus: EventBus) -> None:
            await asyncio.gather(*(bus.publish([event(number)]) for number in range(50)))
            assert numbers(await hear(bus, 50)) == list(range(50))

        self.on_a_bus(scenario)
