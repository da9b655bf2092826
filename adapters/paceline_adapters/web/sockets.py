"""WebSockets for one run, or for all runs of a tenant, from the same feed as the event streams."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Query, WebSocket
from paceline import PacelineError
from paceline.contracts.events import StreamPosition
from paceline.live.feed import RATE, Feed, Level
from paceline.live.hub import MAX_RUNS
from paceline.tasks import cancel_and_wait
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.websockets import WebSocketDisconnect

from paceline_adapters.web.auth import Caller
from paceline_adapters.web.backend import Backend
from paceline_adapters.web.problems import Problem, problem_of
from paceline_adapters.web.request_checks import RequestChecks
from paceline_adapters.web.routes.events import MAX_RATE, AfterQuery, LevelQuery
from paceline_adapters.web.run_etas import RunEtas

#: Seconds in which a client must send its ``follow`` message if it asked for ``wait``.
_FOLLOW_TIMEOUT = 10.0

#: Close codes.
ENDED, RESTART, TOO_SLOW, BAD_MESSAGE, SERVER_ERROR = 1000, 1012, 1013, 1008, 1011

Rate = Annotated[float, Field(ge=0.1, le=MAX_RATE)]


class Follow(BaseModel):
    """The first message of a client that asked for ``wait``.

    Attributes:
        type: ``follow``.
        level: what the client receives.
        rate: maximum number of messages per second, at the level ``roadmap``.
        after: ``epoch-offset`` of the last event that the client received, by run.
    """

    model_config = ConfigDict(extra="forbid")

    type: Literal["follow"]
    level: Level | None = None
    rate: Rate | None = None
    after: dict[str, Annotated[str, Field(max_length=40)]] = Field(
        default_factory=dict[str, str], max_length=MAX_RUNS
    )


def sockets_router(backend: Backend, checks: RequestChecks) -> APIRouter:
    """The WebSockets."""
    router = APIRouter()
    sockets = _Sockets(backend, checks)

    @router.websocket("/ws/runs/{run_id}")
    async def follow_run(
        socket: WebSocket,
        run_id: str,
        level: LevelQuery = "concept",
        rate: Annotated[float, Query(ge=0.1, le=MAX_RATE)] = RATE,
        after: AfterQuery = None,
    ) -> None:
        async with sockets.checked(socket) as caller:
            tenant = caller.seen_tenant
            async with Feed(backend.hub, level=level, rate=rate, tenant=tenant) as feed:
                await feed.follow(run_id, None if after is None else StreamPosition.parse(after))
                await _accept(socket)
                await sockets.send(socket, feed, {"level": level, "rate": rate})

    @router.websocket("/ws/runs")
    async def follow_all(
        socket: WebSocket,
        *,
        level: LevelQuery = "roadmap",
        rate: Annotated[float, Query(ge=0.1, le=MAX_RATE)] = RATE,
        wait: bool = False,
    ) -> None:
        async with sockets.checked(socket) as caller:
            await _accept(socket)
            follow = await sockets.follow_message(socket) if wait else Follow(type="follow")
            chosen: Level = follow.level or level
            pace = follow.rate or rate
            tenant = caller.seen_tenant
            async with Feed(backend.hub, level=chosen, rate=pace, tenant=tenant) as feed:
                after = {
                    run_id: StreamPosition.parse(text) for run_id, text in follow.after.items()
                }
                await feed.follow_all(after)
                await sockets.send(
                    socket, feed, {"level": chosen, "rate": pace}, figures_for=caller
                )

    return router


async def _accept(socket: WebSocket) -> None:
    """Accept a WebSocket. If the client has left meanwhile, the server raises an OSError."""
    try:
        await socket.accept()
    except OSError:
        raise WebSocketDisconnect(SERVER_ERROR) from None


class _Sockets:
    """What both WebSockets share."""

    def __init__(self, backend: Backend, checks: RequestChecks) -> None:
        self._backend = backend
        self._checks = checks
        self._metrics = backend.metrics
        self._etas = RunEtas(backend)
        self._send_timeout = backend.settings.web.send_timeout

    @asynccontextmanager
    async def checked(self, socket: WebSocket) -> AsyncGenerator[Caller]:
        """Check and count a WebSocket; on errors, deny or close it with the reason."""
        try:
            caller = self._checks.check_socket(socket)
            with self._checks.rate_limit.stream(caller.name):
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
            code = BAD_MESSAGE if problem.status < 500 else SERVER_ERROR
            reason = str(problem) if isinstance(error, PacelineError | Problem) else ""
            await socket.close(code, reason.encode()[:120].decode(errors="ignore"))

    async def follow_message(self, socket: WebSocket) -> Follow:
        """Receive the client's first message.

        Raises:
            Problem: the client sends none in time, or one that is not valid.
        """
        try:
            async with asyncio.timeout(_FOLLOW_TIMEOUT):
                text = await socket.receive_text()
        except TimeoutError:
            raise Problem(400, "silent", "Timed out waiting for the `follow` message.") from None
        except KeyError:
            raise Problem(400, "bad-message", "Messages must be text.") from None
        try:
            return Follow.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the message"
            raise Problem(400, "bad-message", f"{place}: {first['msg']}") from None

    async def send(
        self,
        socket: WebSocket,
        feed: Feed,
        chosen: Mapping[str, object],
        *,
        figures_for: Caller | None = None,
    ) -> None:
        """Send messages until the feed ends or the client disconnects.

        ``figures_for`` also receives the figures, because it follows all runs.
        """
        disconnected = asyncio.create_task(_until_disconnected(socket))
        sending = asyncio.create_task(self._send_messages(socket, feed, chosen, figures_for))
        try:
            await asyncio.wait({disconnected, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(disconnected, sending)
        if not sending.cancelled():
            sending.result()

    async def _send_messages(
        self,
        socket: WebSocket,
        feed: Feed,
        chosen: Mapping[str, object],
        figures_for: Caller | None,
    ) -> None:
        await self._send(socket, json.dumps({"type": "hello", **chosen}))
        figures: asyncio.Task[None] | None = None
        if figures_for is not None:
            figures = asyncio.create_task(self._send_figures(socket, figures_for))
        try:
            while messages := await feed.next():
                self._metrics.messages_sent("websocket", messages)
                texts = [message.text for message in messages]
                if figures_for is not None and feed.level == "roadmap":
                    # One message for the states of all runs: the rate limits messages, not runs.
                    texts = ['{"type":"batch","events":[' + ",".join(texts) + "]}"]
                for text in texts:
                    await self._send(socket, text)
            if self._backend.hub.closed:
                await socket.close(RESTART, "the server restarts")
            else:
                await socket.close(ENDED, "the run has ended")
        except TimeoutError:
            self._metrics.client_too_slow()
            await socket.close(TOO_SLOW, "too slow: reconnect with the last position")
        finally:
            if figures is not None:
                await cancel_and_wait(figures)

    async def _send_figures(self, socket: WebSocket, caller: Caller) -> None:
        """Send each sample of both layers, with the estimates of the caller's runs."""
        etas: Mapping[str, float] = {}
        with suppress(WebSocketDisconnect, TimeoutError, RuntimeError):
            while True:
                sample = await self._backend.figures.next()
                sentence = sample.totals.sentence()
                with suppress(PacelineError):  # until the store is reachable again
                    etas = await self._etas.seen_by(caller)
                live = {"type": "live", "sentence": sentence, **sample.to_json(), "etas": etas}
                await self._send(socket, json.dumps(live))

    async def _send(self, socket: WebSocket, text: str) -> None:
        try:
            async with asyncio.timeout(self._send_timeout):
                await socket.send_text(text)
        except RuntimeError:  # the client, or a missing pong, is closing it
            raise WebSocketDisconnect(SERVER_ERROR) from None
        # Sending to a fast client never blocks, so let other tasks run.
        await asyncio.sleep(0)


async def _until_disconnected(socket: WebSocket) -> None:
    """Read and discard messages until the client disconnects."""
    with suppress(WebSocketDisconnect, KeyError):
        while True:
            message = cast("Mapping[str, object]", await socket.receive())
            if message["type"] == "websocket.disconnect":
                return
