"""Any interleaving of publish, disconnect, reconnect and trim: the view equals the store's."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

from hypothesis import given, settings
from hypothesis import strategies as st
from paceline.contracts.events import StreamPosition
from paceline.contracts.storage.records import Claim, ConceptState, ConceptStatus, Run, RunStatus
from paceline.contracts.telemetry import Gauges
from paceline.generation.event_publisher import EventPublisher
from paceline.generation.progress import Progress
from paceline.live.feed import Feed, Level
from paceline.live.hub import Hub
from paceline.testing.virtual_time import run_virtual
from paceline_adapters.memory.bus import MemoryBus
from paceline_adapters.memory.store import MemoryStore

from tests.support.memory_worker import a_roadmap

CONCEPTS = 6
#: Few, so that a client that is away for a while is behind what is kept.
KEPT = 5

Does = Literal[
    "begin",
    "many",
    "note",
    "notes",
    "complete",
    "fail",
    "lose",
    "claim",
    "come",
    "go",
    "wait",
    "restart",
]
ACTIONS: list[Does] = list(get_args(Does))


class Loads(Protocol):
    """The route from which a client loads the concepts of a run."""

    async def concepts(self, run_id: str, /) -> Sequence[ConceptState]:
        """All of them."""
        ...


@dataclass
class View:
    """What a client that follows the protocol knows.

    Attributes:
        level: what it wants to be told.
        place: its last place.
        concepts: statuses by concept, loaded anew where it is told to.
        figures: finished, failed and status of the run.
        offsets: offsets heard in the present epoch, in order.
    """

    level: Level
    place: str | None = None
    concepts: dict[str, str] = field(default_factory=dict[str, str])
    figures: tuple[int, int, str] | None = None
    epoch: int = 0
    offsets: list[int] = field(default_factory=list[int])
    must_load: bool = True
    over: bool = False

    async def hear(self, text: str, store: Loads) -> None:
        """Apply one message, as docs/reference/events.md says."""
        event: Mapping[str, Any] = json.loads(text)
        if event["type"] == "resync_required":
            self.must_load = True
            self.offsets.clear()
            self.place = f"{event['epoch']}-{event['offset']}"
            return
        self.place = f"{event['epoch']}-{event['offset']}"
        if event["type"] == "content_generation_note":
            assert self.level == "concept", "a note changes no state"
            self._in_order(event)
            return
        if event["concept_id"] is None:
            status = str(event["status"])
            self.figures = (event["progress_current"], event["failed"], status)
            self.over = event["type"] == "content_generation_finished"
        else:
            self.figures = (event["progress_current"], event["failed"], "running")
            finished = self.concepts.get(event["concept_id"]) in {"completed", "failed"}
            if event["status"] != "generating" or not finished:
                self.concepts[event["concept_id"]] = event["status"]
        known = sum(status in {"completed", "failed"} for status in self.concepts.values())
        if (event["concept_id"] is None and self.must_load) or known < event["progress_current"]:
            states = await store.concepts(event["task_id"])
            self.concepts = {one.concept_id: one.status for one in states}
            self.must_load = False
        if self.level == "concept":
            self._in_order(event)

    def _in_order(self, event: Mapping[str, Any]) -> None:
        """Check that nothing is duplicated or missing, except after ``resync_required``."""
        if self.offsets and self.epoch:
            assert event["epoch"] == self.epoch, "another epoch, untold"
            again = event["concept_id"] is None  # where it stands, told once more
            allowed = {self.offsets[-1] + 1, self.offsets[-1] if again else None}
            assert event["offset"] in allowed, "something is missing or comes twice, untold"
        self.epoch = event["epoch"]
        self.offsets.append(event["offset"])


class World:
    """A run, the process that serves it, and one client that connects and disconnects."""

    def __init__(self, store: MemoryStore, run: Run, level: Level) -> None:
        self.store = store
        self.run_id = run.run_id
        self.view = View(level)
        self.now = 1_700_000_000.0
        self.bus = MemoryBus(max_length=KEPT, clock=self.clock)
        self.hub = Hub(store, self.bus, kept=KEPT)
        self.outbox = EventPublisher(self.bus, Gauges())
        self.claim: Claim | None = None
        self.progress: Progress | None = None
        self.feed: Feed | None = None
        self.pending = [f"c{number}" for number in range(CONCEPTS)]

    def clock(self) -> float:
        """The time of epochs: a process is not restarted within an instant."""
        self.now += 0.001
        return self.now

    async def claimed(self) -> Progress:
        """The claimed run; claims it if necessary."""
        if self.progress is None:
            self.claim = await self.store.claim(self.run_id, "w", lease=1e6)
            assert self.claim is not None
            run = await self.store.run(self.run_id)
            self.progress = Progress(
                self.claim, CONCEPTS, self.outbox, finished=run.finished, failures=run.failed
            )
            self.progress.snapshot()
            await self.outbox.flush()
        return self.progress

    async def finish(self, failed: bool) -> None:
        progress = await self.claimed()
        assert self.claim is not None
        if not self.pending:
            return
        concept = self.pending.pop(0)
        status: ConceptStatus = "failed" if failed else "completed"
        state = ConceptState(concept_id=concept, status=status)
        await self.store.save_concept(self.claim, state)
        if failed:
            progress.failed(concept, "no")
        else:
            progress.saved(concept, "quiz", completed=True)
        await self.outbox.flush()

    async def do(self, action: Does) -> None:
        match action:
            case "begin":
                progress = await self.claimed()
                if self.pending:
                    progress.generating(self.pending[0])
                await self.outbox.flush()
            case "many":
                progress = await self.claimed()
                for _ in range(2 * KEPT):
                    if self.pending:
                        progress.generating(self.pending[0])
                await self.outbox.flush()
            case "note" | "notes":
                progress = await self.claimed()
                for number in range(1 if action == "note" else 2 * KEPT):
                    progress.note("c0", "tutorial", f"note {number}")
                await self.outbox.flush()
            case "complete" | "fail":
                await self.finish(action == "fail")
            case "lose":  # the bus was away: saved, and never told
                progress = await self.claimed()
                assert self.claim is not None
                if self.pending:
                    state = ConceptState(concept_id=self.pending.pop(0), status="completed")
                    await self.store.save_concept(self.claim, state)
                    progress.finished += 1
            case "claim":
                await self.claimed()
                assert self.claim is not None
                await self.store.hand_back(self.claim)
                self.progress = None
                await self.claimed()
            case "come":
                await self.come()
            case "go":
                await self.go()
            case "wait":
                await self.listen(seconds=0.3)
            case "restart":  # of the serving process: what its memory held is gone
                await self.go()
                await self.hub.close()
                await self.bus.close()
                self.bus = MemoryBus(max_length=KEPT, clock=self.clock)
                self.hub = Hub(self.store, self.bus, kept=KEPT)
                self.outbox = EventPublisher(self.bus, Gauges())
                if self.progress is not None:
                    self.progress.publisher = self.outbox

    async def come(self) -> None:
        """Connect with the last position."""
        if self.feed is not None:
            return
        self.feed = await Feed(self.hub, level=self.view.level, rate=10).__aenter__()
        place = None if self.view.place is None else StreamPosition.parse(self.view.place)
        await self.feed.follow(self.run_id, place)

    async def go(self) -> None:
        """Disconnect at any moment."""
        if self.feed is not None:
            await self.feed.__aexit__()
            self.feed = None

    async def listen(self, seconds: float) -> None:
        """Receive for a while."""
        if self.feed is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while told := await self.feed.next():
                    for one in told:
                        await self.view.hear(one.text, self.store)

    async def to_the_end(self, *, told: bool) -> None:
        """Finish the run, and let the client receive its end from the bus or the store."""
        while self.pending:
            await self.finish(failed=False)
        progress = await self.claimed()
        assert self.claim is not None
        status: RunStatus = "partial" if progress.failures else "completed"
        await self.come()
        await self.listen(seconds=0.3)
        await self.store.finish(self.claim, status)
        if told:
            progress.ended(status, None)
            await self.outbox.flush()
        await self.listen(seconds=60)
        await self.go()
        await self.hub.close()
        await self.bus.close()


@settings(max_examples=300)
@given(
    actions=st.lists(st.sampled_from(ACTIONS), max_size=40),
    level=st.sampled_from(["roadmap", "concept"]),
    told=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_the_view_of_the_client_finally_equals_the_store(
    actions: list[Does], level: Level, told: bool, seed: int
) -> None:
    async def scenario() -> None:
        store = MemoryStore()
        await store.open()
        run, _ = await store.create_run(a_roadmap(CONCEPTS), executor="in-process")
        world = World(store, run, level)
        for action in actions:
            await world.do(action)
        await world.to_the_end(told=told)
        ended = await store.run(run.run_id)
        assert world.view.over
        assert world.view.figures == (ended.finished, ended.failed, ended.status)
        if level == "concept":
            states = {one.concept_id: one.status for one in await store.concepts(run.run_id)}
            assert world.view.concepts == states

    run_virtual(scenario(), seed=seed)
