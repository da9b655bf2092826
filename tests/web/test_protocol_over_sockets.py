"""The protocol over real sockets: in the end, a client has the view of the store."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, cast, get_args

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paceline.contracts.storage.records import ConceptState, ConceptStatus
from paceline.contracts.telemetry import Gauges
from paceline.generation.event_publisher import EventPublisher
from paceline.live.feed import Level
from paceline.testing.virtual_time import real_time
from websockets.asyncio.client import connect

from tests.support.cli_terminal import a_roadmap
from tests.support.eventually import eventually_async
from tests.support.web_site import Site, Working, site
from tests.web.test_protocol import View

CONCEPTS = [f"c{number}" for number in range(6)]
KEPT = 100
#: Seconds that anything here may take on a machine that has much else to do.
PATIENCE = 60.0

Transport = Literal["ws", "sse"]
Does = Literal[
    "begin", "many", "complete", "fail", "lose", "claim", "come", "go", "hear", "restart"
]
ACTIONS: list[Does] = list(get_args(Does))


class Concepts:
    """The concepts of a run, as a client loads them."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def concepts(self, run_id: str) -> Sequence[ConceptState]:
        """Load them over HTTP."""
        answer = await self._client.get(f"/api/runs/{run_id}/concepts")
        return [
            ConceptState(concept_id=one["concept_id"], status=cast("ConceptStatus", one["status"]))
            for one in answer.json()["concepts"]
        ]


class World:
    """A run, its server, and one client that connects and disconnects."""

    def __init__(self, folder: Path, transport: Transport, level: Level) -> None:
        self._folder = folder
        self._transport = transport
        self.view = View(level)
        self._serving = AsyncExitStack()
        self._client: asyncio.Task[None] | None = None
        self._pending = list(CONCEPTS)
        self._work: Working | None = None
        self.here: Site

    async def begin(self) -> None:
        """Serve, and submit the run."""
        await self._serve()
        self.run_id = await self.here.submitted(a_roadmap("r", *CONCEPTS))

    async def _serve(self) -> None:
        self.here = await self._serving.enter_async_context(
            site(self._folder, events={"max_length": KEPT})
        )

    async def work(self) -> Working:
        """The run in work."""
        if self._work is None:
            self._work = await Working.on(self.here.backend, self.run_id)
        return self._work

    async def finish(self, how: Literal["complete", "fail", "lose"]) -> None:
        """Finish a concept, and publish it or not."""
        work = await self.work()
        if not self._pending:
            return
        concept = self._pending.pop(0)
        if how == "complete":
            await work.complete(concept)
        elif how == "fail":
            await work.fail(concept)
        else:
            state = ConceptState(concept_id=concept, status="completed")
            await self.here.backend.store.save_concept(work.claim, state)
            work.progress.finished += 1

    async def do(self, action: Does) -> None:
        """Let one thing happen."""
        match action:
            case "begin":
                await (await self.work()).begin(self._pending[0] if self._pending else "c0")
            case "many":
                work = await self.work()
                for _ in range(2 * KEPT):
                    work.progress.generating(self._pending[0] if self._pending else "c0")
                await work.outbox.flush()
            case "complete" | "fail" | "lose":
                await self.finish(action)
            case "claim":
                await self.here.backend.store.hand_back((await self.work()).claim)
                self._work = None
                await self.work()
            case "come":
                self.come()
            case "go":
                await self.go()
            case "hear":
                await self.hear()
            case "restart":
                await self.restart()

    async def restart(self) -> None:
        """Restart the server: what its memory held is lost."""
        await self.go()
        await self._serving.aclose()
        await self._serve()
        if self._work is not None:
            self._work.backend = self.here.backend
            self._work.outbox = EventPublisher(self.here.backend.bus, Gauges())
            self._work.progress.publisher = self._work.outbox

    def come(self) -> None:
        """Connect with the last position."""
        if self._client is None:
            self._client = asyncio.create_task(self._listen())

    async def go(self) -> None:
        """Disconnect at any moment."""
        if self._client is not None:
            self._client.cancel()
            await asyncio.wait({self._client})
            if not self._client.cancelled():
                self._client.result()
            self._client = None

    async def hear(self) -> None:
        """Let the client receive everything."""

        def caught_up() -> bool:
            if self._client is not None and self._client.done():
                self._client.result()
                return True
            channel = self.here.backend.hub.channel(self.run_id)
            return channel is not None and self.view.place == str(channel.position)

        if self._client is not None:
            await eventually_async(caught_up, PATIENCE)

    async def end(self, *, told: bool) -> None:
        """Finish the run, and let the client receive its end from the bus or the store."""
        while self._pending:
            await self.finish("complete")
        work = await self.work()
        self.come()
        if told:
            await work.end()
        else:
            await self.here.backend.store.finish(work.claim, "completed")
        assert self._client is not None
        await asyncio.wait_for(self._client, PATIENCE)

    async def leave(self) -> None:
        """End everything."""
        await self.go()
        await self._serving.aclose()

    async def _listen(self) -> None:
        messages = self._socket() if self._transport == "ws" else self._stream()
        async with aclosing(messages) as texts:
            async for text in texts:
                await self.view.hear(text, Concepts(self.here.client))

    @property
    def _asked(self) -> dict[str, str]:
        return {"level": self.view.level, "rate": "20"}

    async def _socket(self) -> AsyncGenerator[str, None]:
        asked = self._asked | ({"after": self.view.place} if self.view.place else {})
        url = httpx2.URL(f"{self.here.ws}/ws/runs/{self.run_id}", params=asked)
        async with connect(str(url), open_timeout=PATIENCE) as client:
            async for text in client:
                if json.loads(text)["type"] != "hello":
                    yield str(text)

    async def _stream(self) -> AsyncGenerator[str, None]:
        headers = {"Last-Event-ID": self.view.place} if self.view.place else {}
        path = f"/api/runs/{self.run_id}/events"
        asked = self.here.client.stream("GET", path, params=self._asked, headers=headers)
        async with asked as answer:
            if answer.status_code == 204:
                return
            async for message in httpx2.EventSource(answer):
                yield message.data


async def _whatever(transport: Transport, level: Level, actions: list[Does], *, told: bool) -> None:
    with TemporaryDirectory() as folder:
        world = World(Path(folder), transport, level)
        await world.begin()
        try:
            for action in actions:
                await world.do(action)
            await world.end(told=told)
            store, view = world.here.backend.store, world.view
            ended = await store.run(world.run_id)
            assert view.over
            assert view.figures == (ended.finished, ended.failed, ended.status)
            if level == "concept":
                states = await store.concepts(world.run_id)
                assert view.concepts == {one.concept_id: one.status for one in states}
        finally:
            await world.leave()


_LEVELS: list[Level] = ["roadmap", "concept"]
_TRANSPORTS: list[Transport] = ["ws", "sse"]


@pytest.mark.parametrize("transport", _TRANSPORTS)
@settings(max_examples=5)
@given(
    level=st.sampled_from(_LEVELS),
    actions=st.lists(st.sampled_from(ACTIONS), min_size=4, max_size=12),
)
@real_time
async def test_the_view_of_a_client_finally_equals_the_store(
    transport: Transport, level: Level, actions: list[Does]
) -> None:
    await _whatever(transport, level, actions, told=True)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(max_examples=150)
@given(
    transport=st.sampled_from(_TRANSPORTS),
    level=st.sampled_from(_LEVELS),
    actions=st.lists(st.sampled_from(ACTIONS), max_size=30),
    told=st.booleans(),
)
@real_time
async def test_it_does_after_many_schedules_and_an_unpublished_end(
    transport: Transport, level: Level, actions: list[Does], *, told: bool
) -> None:
    await _whatever(transport, level, actions, told=told)
