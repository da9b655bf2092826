"""A run's stream that grows, is trimmed, ended and lost, and its subscribers."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from paceline.contracts.events import START, Event, EventBus, EventType, StreamPosition
from paceline.testing.contracts.contract import rounds
from paceline.testing.contracts.event_bus_base import EventBusScenarios

#: Seconds within which a subscriber must receive a published event.
DEADLINE = 20.0
which = st.integers(0, 9)


@dataclass(slots=True, eq=False)
class _Epoch:
    """The events accepted since the stream was created, or created again.

    Attributes:
        number: the bus's number of the epoch; 0 until a subscriber received an event of it.
        events: the number of each event.
    """

    number: int = 0
    events: list[int] = field(default_factory=list[int])


@dataclass(slots=True, eq=False)
class _Subscriber:
    """A subscriber of the run, and its view of the run.

    Attributes:
        since: number of earlier epochs when it first connected.
        at: position of its last event, from which it resumes after a disconnect.
        epoch: the epoch of that event.
        view: the events of that epoch that it loaded or received.
        reload: whether it must reload the state; it does so at the next event.
        reads: it reads only while this is set.
        task: receives its events while it is connected.
    """

    since: int
    at: StreamPosition = START
    epoch: _Epoch | None = None
    view: list[int] = field(default_factory=list[int])
    reload: bool = False
    reads: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None


class Streams(RuleBasedStateMachine):
    """One run's stream: the accepted events, and the view of each subscriber."""

    def __init__(self, suite: EventBusScenarios, run_id: str) -> None:
        super().__init__()
        self.suite = suite
        self.run_id = run_id
        self.runner = suite.runner()
        self.opened = AsyncExitStack()
        self.epochs = [_Epoch()]
        self.accepted: dict[int, tuple[int, int]] = {}  # event → index of its epoch, offset
        self.sent = self.fence = 0
        self.ended = False
        self.subscribers: list[_Subscriber] = []
        self.received = asyncio.Event()
        self.sound = True
        self.buses: list[EventBus] = self.run(self.begin())

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:
        """Run a step on the loop of this example."""
        try:
            return self.runner.run(step)
        except BaseException:
            self.sound = False
            raise

    async def begin(self) -> list[EventBus]:
        """The bus; if it is shared, also that of another process."""
        buses = [self.suite.bus()]
        if buses[0].shared:
            buses.append(self.suite.bus())
        for bus in buses:
            self.opened.push_async_callback(bus.close)
        return buses

    # -- publishers -----------------------------------------------------------------

    def accept(self, type_: EventType, fence: int) -> Event:
        """The next event. If a bus must accept it, it is added to the model."""
        self.sent += 1
        opens = self.ended and type_ == "content_generation_snapshot" and fence > self.fence
        if fence >= self.fence and (opens or not self.ended):
            if opens:
                self.epochs.append(_Epoch())
            self.fence, self.ended = fence, type_ == "content_generation_finished"
            self.epochs[-1].events.append(self.sent)
            self.accepted[self.sent] = (len(self.epochs) - 1, len(self.epochs[-1].events))
        return Event(
            type=type_,
            task_id=self.run_id,
            roadmap_id="roadmap",
            status="x",
            progress_current=self.sent,
            progress_total=self.sent,
            fence=fence,
        )

    def publish(self, events: list[Event], by: int, *, wait: bool) -> None:
        """Publish. With ``wait``, all subscribers receive it before the next step."""

        async def step() -> None:
            await self.buses[by % len(self.buses)].publish(events)
            if wait:
                await self.all_receive()

        self.run(step())

    @rule(by=which, count=st.integers(1, 3), wait=st.booleans())
    def progress(self, by: int, count: int, wait: bool) -> None:
        """The owner publishes progress."""
        types: list[EventType] = ["content_generation_progress"] * count
        self.publish([self.accept(type_, self.fence) for type_ in types], by, wait=wait)

    @rule(by=which, wait=st.booleans())
    def claim(self, by: int, wait: bool) -> None:
        """A new owner publishes a snapshot; after the end of the run it opens a new epoch."""
        self.publish([self.accept("content_generation_snapshot", self.fence + 1)], by, wait=wait)

    @precondition(lambda self: self.fence)
    @rule(
        by=which,
        type_=st.sampled_from(["content_generation_progress", "content_generation_finished"]),
    )
    def stale(self, by: int, type_: EventType) -> None:
        """A previous owner of the run publishes, beside the current one."""
        old = self.accept(type_, self.fence - 1)
        self.publish([old, self.accept("content_generation_progress", self.fence)], by, wait=True)

    @rule(by=which, wait=st.booleans())
    def end(self, by: int, wait: bool) -> None:
        """The run ends. Later events are dropped."""
        last = self.accept("content_generation_finished", self.fence)
        self.publish([last, self.accept("content_generation_progress", self.fence)], by, wait=wait)

    @rule(by=which, wait=st.booleans())
    def trim(self, by: int, wait: bool) -> None:
        """The owner publishes more events than the bus retains."""
        many: list[EventType] = ["content_generation_progress"] * (3 * self.suite.kept)
        self.publish([self.accept(type_, self.fence) for type_ in many], by, wait=wait)

    @precondition(lambda self: self.suite.loses and self.epochs[-1].events)
    @rule()
    def lose(self) -> None:
        """The server loses all events, and the stream is created again."""
        self.epochs.append(_Epoch())
        self.fence, self.ended = 0, False
        self.run(self.suite.lose())

    # -- subscribers -----------------------------------------------------------------------

    @rule(on=which, wait=st.booleans())
    def connect(self, on: int, wait: bool) -> None:
        """A new subscriber connects."""
        self.subscribers.append(_Subscriber(len(self.epochs) - 1))
        self.subscribe(self.subscribers[-1], on, wait=wait)

    @precondition(lambda self: any(one.task for one in self.subscribers))
    @rule(one=which)
    def disconnect(self, one: int) -> None:
        """A subscriber disconnects."""

        async def step() -> None:
            await self.unsubscribe(self.chosen(one, connected=True))

        self.run(step())

    @precondition(lambda self: any(not one.task for one in self.subscribers))
    @rule(one=which, on=which, wait=st.booleans())
    def reconnect(self, one: int, on: int, wait: bool) -> None:
        """A subscriber reconnects with the position of its last event."""
        self.subscribe(self.chosen(one, connected=False), on, wait=wait)

    @rule(on=which, missed=st.integers(0, 2))
    def miss_events(self, on: int, missed: int) -> None:
        """A subscriber receives events, disconnects, and reconnects after more were published."""
        self.connect(on, wait=True)
        subscriber = self.subscribers[-1]
        self.progress(on, 2, wait=True)
        self.run(self.unsubscribe(subscriber))
        if missed:
            self.progress(on, missed, wait=False)
        self.subscribe(subscriber, on, wait=True)

    @precondition(lambda self: any(one.task for one in self.subscribers))
    @rule(one=which)
    def stop_reading(self, one: int) -> None:
        """A subscriber reads nothing until the next step or later."""
        self.chosen(one, connected=True).reads.clear()

    def chosen(self, one: int, *, connected: bool) -> _Subscriber:
        """One of the subscribers that are connected, or that are not."""
        among = [each for each in self.subscribers if bool(each.task) == connected]
        return among[one % len(among)]

    def subscribe(self, subscriber: _Subscriber, on: int, *, wait: bool) -> None:
        """Connect a subscriber."""

        async def step() -> None:
            subscriber.reads.set()
            subscriber.task = asyncio.create_task(
                self.follow(subscriber, self.buses[on % len(self.buses)])
            )
            await (self.all_receive() if wait else rounds(on))

        self.run(step())

    async def unsubscribe(self, subscriber: _Subscriber) -> None:
        """Disconnect a subscriber. A fault in its events is raised."""
        task, subscriber.task = subscriber.task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            fault = None if task.cancelled() else task.exception()
            if fault is not None and self.sound:
                raise fault

    async def follow(self, subscriber: _Subscriber, bus: EventBus) -> None:
        """Receive events and update the view."""
        after = None if subscriber.at == START else str(subscriber.at)
        async with aclosing(bus.subscribe(self.run_id, after)) as events:
            async for event in events:
                if event.type == "resync_required":
                    self.resync(subscriber, event)
                else:
                    self.receive(subscriber, event)
                self.received.set()
                await subscriber.reads.wait()

    # -- checks --------------------------------------------------------------------

    def resync(self, subscriber: _Subscriber, event: Event) -> None:
        """A resync is right only if events are lost."""
        if subscriber.epoch is None:
            lost = any(len(one.events) > self.suite.kept for one in self.epochs[subscriber.since :])
            # Events read before the loss may still arrive.
            before = {one.number for one in self.epochs[:-1]} - {0}
            lost = lost or subscriber.at != START or event.epoch in before
        else:
            missed = len(self.epochs[-1].events) - subscriber.at.offset
            lost = subscriber.epoch is not self.epochs[-1] or missed > self.suite.kept
        assert lost, f"needless resync at {subscriber.at}: no later event is lost"
        subscriber.at, subscriber.epoch, subscriber.reload = (
            StreamPosition(event.epoch, event.offset),
            None,
            True,
        )

    def receive(self, subscriber: _Subscriber, event: Event) -> None:
        """An event must be an accepted one, and follow the previous one."""
        number, here = event.progress_current, StreamPosition(event.epoch, event.offset)
        assert number in self.accepted, (
            f"received an event that must be dropped: {_describe(event)}"
        )
        index, offset = self.accepted[number]
        epoch = self.epochs[index]
        assert event.offset == offset, f"received offset {event.offset} instead of {offset}"
        assert not (subscriber.at.epoch == here.epoch and here.offset <= subscriber.at.offset), (
            f"received twice: {here} after {subscriber.at}"
        )
        assert here.epoch >= subscriber.at.epoch, f"an ended epoch: {here} after {subscriber.at}"
        assert subscriber.at.leads_to(here), f"event lost silently: {here} after {subscriber.at}"
        epoch.number = epoch.number or event.epoch
        assert epoch.number == event.epoch, "two epochs of one stream"
        known = [one.number for one in self.epochs if one.number]
        assert known == sorted(set(known)), f"epochs must rise: {known}"
        if subscriber.reload:
            subscriber.view = epoch.events[: offset - 1]  # the current state, from the store
        subscriber.view.append(number)
        subscriber.at, subscriber.epoch, subscriber.reload = here, epoch, False

    async def all_receive(self) -> None:
        """Wait until each connected subscriber has the view of the newest epoch."""
        newest = self.epochs[-1]
        for one in self.subscribers:
            one.reads.set()
        try:
            async with asyncio.timeout(DEADLINE):
                while True:
                    self.received.clear()
                    tasks = [one.task for one in self.subscribers if one.task is not None]
                    for task in tasks:
                        if task.done():
                            task.result()
                            raise AssertionError("the subscription ended by itself")
                    if not newest.events or all(
                        one.view == newest.events for one in self.subscribers if one.task
                    ):
                        break
                    receiving = asyncio.create_task(self.received.wait())
                    await asyncio.wait({receiving, *tasks}, return_when=asyncio.FIRST_COMPLETED)
                    receiving.cancel()
        except TimeoutError:
            views = [one.view[-3:] for one in self.subscribers if one.task]
            raise AssertionError(
                f"lost event: the subscribers' last events are {views}, but {newest.events[-3:]} "
                "were published"
            ) from None
        await rounds(5)  # for events that must not arrive

    def teardown(self) -> None:
        """Check that all subscribers receive a last event, and close the buses."""
        try:
            if self.sound:  # otherwise a step has failed and raised
                last = self.accept("content_generation_snapshot", self.fence + 1)
                self.publish([last], 0, wait=True)
            for one in self.subscribers:
                self.runner.run(self.unsubscribe(one))
        finally:
            self.run(self.opened.aclose())
            self.suite.abandon(self.runner)


def _describe(event: Event) -> str:
    return f"number {event.progress_current}, {event.type}, fence {event.fence}"
