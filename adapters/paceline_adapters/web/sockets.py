"""WebSockets: one run, or all runs of a tenant, from the same feed as the event streams."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Query, WebSocket
from paceline import PacelineError
from paceline.contracts.events import StreamPosition
from paceline.live.feed import RATE, Feed, Level, Told
from paceline.live.hub import MOST_RUNS
from paceline.tasks import cancel_and_wait
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.websockets import WebSocketDisconnect

from paceline_adapters.web.access import Caller
from paceline_adapters.web.backend import Backend
from paceline_adapters.web.gate import Gate
from paceline_adapters.web.metrics import Metrics
from paceline_adapters.web.problems import Problem, problem_of
from paceline_adapters.web.routes.events import MOST_RATE, AskedLevel, AskedPlace
from paceline_adapters.web.routes.runs import found

#: Seconds that a client which said it would speak first may be silent.
_FIRST_WORD = 10.0

#: Codes that a socket is closed with.
OVER, RESTART, TOO_SLOW, BAD_MESSAGE, AWAY = 1000, 1012, 1013, 1008, 1011

Rate = Annotated[float, Field(ge=0.1, le=MOST_RATE)]


class Follow(BaseModel):
    """What a client may say first, where it asked for ``wait``.

    Attributes:
        type: ``follow``.
        level: what it wants to be told.
        rate: messages a second at most, of the level ``roadmap``.
        after: ``epoch-offset`` of the last event seen of each run it knows.
    """

    model_config = ConfigDict(extra="forbid")

    type: Literal["follow"]
    level: Level | None = None
    rate: Rate | None = None
    after: dict[str, Annotated[str, Field(max_length=40)]] = Field(
        default_factory=dict[str, str], max_length=MOST_RUNS
    )


def sockets_router(backend: Backend, gate: Gate, metrics: Metrics) -> APIRouter:
    """The sockets."""
    router = APIRouter()
    sockets = _Sockets(backend, gate, metrics)

    @router.websocket("/ws/runs/{run_id}")
    async def follow_run(
        socket: WebSocket,
        run_id: str,
        level: AskedLevel = "concept",
        rate: Annotated[float, Query(ge=0.1, le=MOST_RATE)] = RATE,
        after: AskedPlace = None,
    ) -> None:
        async with sockets.entered(socket) as caller:
            await found(backend, caller, run_id)
            async with Feed(backend.hub, level=level, rate=rate) as feed:
                await feed.follow(run_id, None if after is None else StreamPosition.parse(after))
                await _accept(socket)
                await sockets.tell(socket, feed, {"level": level, "rate": rate}, of_all=False)

    @router.websocket("/ws/runs")
    async def follow_all(
        socket: WebSocket,
        *,
        level: AskedLevel = "roadmap",
        rate: Annotated[float, Query(ge=0.1, le=MOST_RATE)] = RATE,
        wait: bool = False,
    ) -> None:
        async with sockets.entered(socket) as caller:
            await _accept(socket)
            asked = await sockets.first_word(socket) if wait else Follow(type="follow")
            chosen: Level = asked.level or level
            pace = asked.rate or rate
            async with Feed(backend.hub, level=chosen, rate=pace) as feed:
                places = {
                    run_id: StreamPosition.parse(text) for run_id, text in asked.after.items()
                }
                await feed.follow_all(places, tenants=caller.tenants)
                await sockets.tell(socket, feed, {"level": chosen, "rate": pace}, of_all=True)

    return router


async def _accept(socket: WebSocket) -> None:
    """Open a socket whose client may have left meanwhile: the server says that by an OSError."""
    try:
        await socket.accept()
    except OSError:
        raise WebSocketDisconnect(AWAY) from None


class _Sockets:
    """What both sockets do."""

    def __init__(self, backend: Backend, gate: Gate, metrics: Metrics) -> None:
        self._backend = backend
        self._gate = gate
        self._metrics = metrics
        self._patience = backend.settings.web.send_timeout

    @asynccontextmanager
    async def entered(self, socket: WebSocket) -> AsyncGenerator[Caller]:
        """Let a socket in and count it; refuse it with an answer, or close it, on errors."""
        try:
            caller = self._gate.enter_socket(socket)
            with self._gate.limits.stream(caller.name):
                yield caller
        except WebSocketDisconnect:
            return
        except Exception as error:  # noqa: BLE001
            problem = problem_of(error)
            with suppress(RuntimeError, OSError, WebSocketDisconnect):  # it is closed already
                await self._refuse(socket, problem, error)

    async def _refuse(self, socket: WebSocket, problem: Problem, error: Exception) -> None:
        if socket.application_state.name == "CONNECTING":
            await socket.send_denial_response(problem.response())
        else:
            code = BAD_MESSAGE if problem.status < 500 else AWAY
            reason = str(problem) if isinstance(error, PacelineError | Problem) else ""
            await socket.close(code, reason.encode()[:120].decode(errors="ignore"))

    async def first_word(self, socket: WebSocket) -> Follow:
        """What the client says first.

        Raises:
            Problem: it says nothing in time, or what nobody understands.
        """
        try:
            async with asyncio.timeout(_FIRST_WORD):
                text = await socket.receive_text()
        except TimeoutError:
            raise Problem(400, "silent", "No `follow` message came.") from None
        except KeyError:
            raise Problem(400, "bad-message", "Messages are text.") from None
        try:
            return Follow.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the message"
            raise Problem(400, "bad-message", f"{place}: {first['msg']}") from None

    async def tell(
        self, socket: WebSocket, feed: Feed, chosen: Mapping[str, object], *, of_all: bool
    ) -> None:
        """Tell the feed's messages until it or the client ends."""
        gone = asyncio.create_task(_until_gone(socket))
        telling = asyncio.create_task(self._messages(socket, feed, chosen, of_all=of_all))
        try:
            await asyncio.wait({gone, telling}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(gone, telling)
        if not telling.cancelled():
            telling.result()

    async def _messages(
        self, socket: WebSocket, feed: Feed, chosen: Mapping[str, object], *, of_all: bool
    ) -> None:
        await self._send(socket, json.dumps({"type": "hello", **chosen}))
        figures = asyncio.create_task(self._figures(socket)) if of_all else None
        try:
            while told := await feed.next():
                self._metrics.told("websocket", len(told), sum(one.resync for one in told))
                for text in _batched(told) if of_all and feed.level == "roadmap" else _each(told):
                    await self._send(socket, text)
            restarts = self._backend.hub.closed
            await socket.close(
                RESTART if restarts else OVER,
                "the server restarts" if restarts else "the run is over",
            )
        except TimeoutError:
            self._metrics.too_slow()
            await socket.close(TOO_SLOW, "too slow: come again with the last offset")
        finally:
            if figures is not None:
                await cancel_and_wait(figures)

    async def _figures(self, socket: WebSocket) -> None:
        """Both layers, as often as they are sampled."""
        with suppress(WebSocketDisconnect, TimeoutError, RuntimeError):
            while True:
                sample = await self._backend.figures.news()
                live = {"type": "live", "sentence": sample.sentence, **sample.to_json()}
                await self._send(socket, json.dumps(live))

    async def _send(self, socket: WebSocket, text: str) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await socket.send_text(text)
        except RuntimeError:  # it is being closed, by the client or for want of a pong
            raise WebSocketDisconnect(AWAY) from None
        # Sending to a client that keeps up never waits: let reads, pongs and others have a turn.
        await asyncio.sleep(0)


def _each(told: Sequence[Told]) -> Sequence[str]:
    return [one.text for one in told]


def _batched(told: Sequence[Told]) -> Sequence[str]:
    """Several runs' states in one message: it is messages that are bounded, not runs."""
    return ['{"type":"batch","events":[' + ",".join(one.text for one in told) + "]}"]


async def _until_gone(socket: WebSocket) -> None:
    """Read until the client leaves; nothing is expected of it any more."""
    with suppress(WebSocketDisconnect, KeyError):
        while True:
            message = cast("Mapping[str, object]", await socket.receive())
            if message["type"] == "websocket.disconnect":
                return
