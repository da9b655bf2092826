"""A run's stream that grows, is trimmed, ended and lost, and those who follow it."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from paceline.contracts.events import START, Event, EventBus, EventType, StreamPosition
from paceline.testing.contracts.contract import rounds

if TYPE_CHECKING:
    from paceline.testing.contracts.event_bus import EventBusContract

#: Seconds within which a subscriber hears what was published.
PATIENCE = 20.0
which = st.integers(0, 9)


@dataclass(slots=True, eq=False)
class _Epoch:
    """What was accepted since the stream began, or began anew.

    Attributes:
        number: what the bus calls it; 0 until somebody heard an event of it.
        events: the number that each event bears.
    """

    number: int = 0
    events: list[int] = field(default_factory=list[int])


@dataclass(slots=True, eq=False)
class _Subscriber:
    """One who follows the run, and the picture of it that it has.

    Attributes:
        since: how many epochs there were when it came with nothing in its hands.
        at: the position of the last event it heard; where it goes on after a break.
        epoch: the one of that event.
        view: what it knows of that epoch: events, and before them what it loaded.
        reload: told to load the state; it does so when the next event comes.
        reads: held up while it is not set.
        task: hears for it while it is connected.
    """

    since: int
    at: StreamPosition = START
    epoch: _Epoch | None = None
    view: list[int] = field(default_factory=list[int])
    reload: bool = False
    reads: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None


class Streams(RuleBasedStateMachine):
    """One run's stream: what was accepted of it, and what each subscriber made of that.

    Args:
        suite: how a bus is made, and how many events of a run it keeps.
        run_id: a run of which nothing was published yet.
    """

    def __init__(self, suite: "EventBusContract", run_id: str) -> None:
        super().__init__()
        self.suite = suite
        self.run_id = run_id
        self.runner = suite.runner()
        self.opened = AsyncExitStack()
        self.epochs = [_Epoch()]
        self.places: dict[int, tuple[int, int]] = {}  # epoch's index and offset of an event
        self.sent = self.fence = 0
        self.ended = False
        self.subscribers: list[_Subscriber] = []
        self.heard = asyncio.Event()
        self.whole = True
        self.buses: list[EventBus] = self.run(self.begin())

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:
        """Do a step on the loop of this example."""
        try:
            return self.runner.run(step)
        except BaseException:
            self.whole = False
            raise

    async def begin(self) -> list[EventBus]:
        """The bus, and where processes share one, that of another process."""
        buses = [self.suite.bus()]
        if buses[0].shared:
            buses.append(self.suite.bus())
        for bus in buses:
            self.opened.push_async_callback(bus.close)
        return buses

    # -- what is published -----------------------------------------------------------------

    def accept(self, type_: EventType, fence: int) -> Event:
        """The next event, entered into the model if a bus must take it."""
        self.sent += 1
        opens = self.ended and type_ == "content_generation_snapshot" and fence > self.fence
        if fence >= self.fence and (opens or not self.ended):
            if opens:
                self.epochs.append(_Epoch())
            self.fence, self.ended = fence, type_ == "content_generation_finished"
            self.epochs[-1].events.append(self.sent)
            self.places[self.sent] = (len(self.epochs) - 1, len(self.epochs[-1].events))
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
        """Publish, and let everybody hear it unless the next step comes at once."""

        async def step() -> None:
            await self.buses[by % len(self.buses)].publish(events)
            if wait:
                await self.all_hear()

        self.run(step())

    @rule(by=which, count=st.integers(1, 3), wait=st.booleans())
    def progress(self, by: int, count: int, wait: bool) -> None:
        """The owner tells of concepts."""
        types: list[EventType] = ["content_generation_progress"] * count
        self.publish([self.accept(type_, self.fence) for type_ in types], by, wait=wait)

    @rule(by=which, wait=st.booleans())
    def claim(self, by: int, wait: bool) -> None:
        """A new owner opens with a snapshot; after the end of the run, a new epoch."""
        self.publish([self.accept("content_generation_snapshot", self.fence + 1)], by, wait=wait)

    @precondition(lambda self: self.fence)
    @rule(
        by=which,
        type_=st.sampled_from(["content_generation_progress", "content_generation_finished"]),
    )
    def stale(self, by: int, type_: EventType) -> None:
        """An owner that lost the run publishes, beside the one that has it."""
        old = self.accept(type_, self.fence - 1)
        self.publish([old, self.accept("content_generation_progress", self.fence)], by, wait=True)

    @rule(by=which, wait=st.booleans())
    def end(self, by: int, wait: bool) -> None:
        """The run ends; whatever comes after is not heard."""
        last = self.accept("content_generation_finished", self.fence)
        self.publish([last, self.accept("content_generation_progress", self.fence)], by, wait=wait)

    @rule(by=which, wait=st.booleans())
    def trim(self, by: int, wait: bool) -> None:
        """More is published than is kept."""
        many: list[EventType] = ["content_generation_progress"] * (3 * self.suite.kept)
        self.publish([self.accept(type_, self.fence) for type_ in many], by, wait=wait)

    @precondition(lambda self: self.suite.loses and self.epochs[-1].events)
    @rule()
    def lose(self) -> None:
        """The server loses everything, and the stream begins anew."""
        self.epochs.append(_Epoch())
        self.fence, self.ended = 0, False
        self.run(self.suite.lose())

    # -- who follows -----------------------------------------------------------------------

    @rule(on=which, wait=st.booleans())
    def connect(self, on: int, wait: bool) -> None:
        """Somebody comes."""
        self.subscribers.append(_Subscriber(len(self.epochs) - 1))
        self.listen(self.subscribers[-1], on, wait=wait)

    @precondition(lambda self: any(one.task for one in self.subscribers))
    @rule(one=which)
    def disconnect(self, one: int) -> None:
        """Somebody's connection breaks."""

        async def step() -> None:
            gone = self.chosen(one, connected=True)
            await self.leave(gone)

        self.run(step())

    @precondition(lambda self: any(not one.task for one in self.subscribers))
    @rule(one=which, on=which, wait=st.booleans())
    def reconnect(self, one: int, on: int, wait: bool) -> None:
        """It comes back, with the position of the last event it heard."""
        self.listen(self.chosen(one, connected=False), on, wait=wait)

    @rule(on=which, missed=st.integers(0, 2))
    def step_out(self, on: int, missed: int) -> None:
        """Somebody comes, hears something, and is away while more is told."""
        self.connect(on, wait=True)
        who = self.subscribers[-1]
        self.progress(on, 2, wait=True)
        self.run(self.leave(who))
        if missed:
            self.progress(on, missed, wait=False)
        self.listen(who, on, wait=True)

    @precondition(lambda self: any(one.task for one in self.subscribers))
    @rule(one=which)
    def dawdle(self, one: int) -> None:
        """Somebody reads on only after the next step or later."""
        self.chosen(one, connected=True).reads.clear()

    def chosen(self, one: int, *, connected: bool) -> _Subscriber:
        """One of those who are connected, or of those who are not."""
        among = [each for each in self.subscribers if bool(each.task) == connected]
        return among[one % len(among)]

    def listen(self, who: _Subscriber, on: int, *, wait: bool) -> None:
        """Connect a subscriber."""

        async def step() -> None:
            who.reads.set()
            who.task = asyncio.create_task(self.follow(who, self.buses[on % len(self.buses)]))
            await (self.all_hear() if wait else rounds(on))

        self.run(step())

    async def leave(self, who: _Subscriber) -> None:
        """Disconnect a subscriber; what was wrong with what it heard is raised."""
        task, who.task = who.task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            fault = None if task.cancelled() else task.exception()
            if fault is not None and self.whole:
                raise fault

    async def follow(self, who: _Subscriber, bus: EventBus) -> None:
        """Hear events and keep the view."""
        after = None if who.at == START else str(who.at)
        async with aclosing(bus.subscribe(self.run_id, after)) as events:
            async for event in events:
                if event.type == "resync_required":
                    self.is_told(who, event)
                else:
                    self.hears(who, event)
                self.heard.set()
                await who.reads.wait()

    # -- what must hold --------------------------------------------------------------------

    def is_told(self, who: _Subscriber, event: Event) -> None:
        """To reload is right only where something is lost."""
        if who.epoch is None:
            lost = any(len(one.events) > self.suite.kept for one in self.epochs[who.since :])
            # What was read before all was lost may still arrive.
            before = {one.number for one in self.epochs[:-1]} - {0}
            lost = lost or who.at != START or event.epoch in before
        else:
            missed = len(self.epochs[-1].events) - who.at.offset
            lost = who.epoch is not self.epochs[-1] or missed > self.suite.kept
        assert lost, f"told to reload at {who.at}, though nothing after it is lost"
        who.at, who.epoch, who.reload = StreamPosition(event.epoch, event.offset), None, True

    def hears(self, who: _Subscriber, event: Event) -> None:
        """An event follows what came before it, and is one that was accepted."""
        number, here = event.progress_current, StreamPosition(event.epoch, event.offset)
        assert number in self.places, f"heard what is refused: {_words(event)}"
        index, offset = self.places[number]
        epoch = self.epochs[index]
        assert event.offset == offset, f"offset {event.offset} where {offset} was published"
        assert not (who.at.epoch == here.epoch and here.offset <= who.at.offset), (
            f"heard twice: {here} after {who.at}"
        )
        assert here.epoch >= who.at.epoch, f"an epoch that is over: {here} after {who.at}"
        assert who.at.leads_to(here), f"lost event, untold: {here} after {who.at}"
        epoch.number = epoch.number or event.epoch
        assert epoch.number == event.epoch, "two epochs of one stream"
        known = [one.number for one in self.epochs if one.number]
        assert known == sorted(set(known)), f"epochs must rise: {known}"
        if who.reload:
            who.view = epoch.events[: offset - 1]  # where the run stands, from the store
        who.view.append(number)
        who.at, who.epoch, who.reload = here, epoch, False

    async def all_hear(self) -> None:
        """Who is connected has the whole picture in the end: the sequence as it was accepted."""
        newest = self.epochs[-1]
        for one in self.subscribers:
            one.reads.set()
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    self.heard.clear()
                    tasks = [one.task for one in self.subscribers if one.task is not None]
                    for task in tasks:
                        if task.done():
                            task.result()
                            raise AssertionError("the subscription ended by itself")
                    if not newest.events or all(
                        one.view == newest.events for one in self.subscribers if one.task
                    ):
                        break
                    hearing = asyncio.create_task(self.heard.wait())
                    await asyncio.wait({hearing, *tasks}, return_when=asyncio.FIRST_COMPLETED)
                    hearing.cancel()
        except TimeoutError:
            views = [one.view[-3:] for one in self.subscribers if one.task]
            raise AssertionError(
                f"lost event: subscribers' last are {views} where {newest.events[-3:]} "
                "were published"
            ) from None
        await rounds(5)  # for what must not come

    def teardown(self) -> None:
        """See that all hear the last that is published, and close what was opened."""
        try:
            if self.whole:  # else a step has failed, and says why
                last = self.accept("content_generation_snapshot", self.fence + 1)
                self.publish([last], 0, wait=True)
            for one in self.subscribers:
                self.runner.run(self.leave(one))
        finally:
            self.run(self.opened.aclose())
            self.suite.abandon(self.runner)


def _words(event: Event) -> str:
    return f"number {event.progress_current}, {event.type}, fence {event.fence}"
