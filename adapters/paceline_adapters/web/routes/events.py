"""Server-Sent Events of one run, from the same feed as the WebSockets."""

import asyncio
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from paceline import Event
from paceline.contracts.events import StreamPosition
from paceline.live.feed import RATE, Feed, Level
from paceline.tasks import cancel_and_wait
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from paceline_adapters.web.backend import Backend
from paceline_adapters.web.problems import responses
from paceline_adapters.web.request_checks import Reading, RequestChecks
from paceline_adapters.web.routes.runs import RunId

#: Seconds without an event after which a comment keeps the connection alive.
_KEEP_ALIVE = 15.0
#: Maximum rate that a client may request, in messages per second.
MAX_RATE = 20.0

#: One message of a stream, for the OpenAPI document.
_MESSAGE: dict[str, Any] = {
    "type": "object",
    "required": ["id", "data"],
    "properties": {
        "id": {"type": "string", "description": "`epoch-offset`."},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": Event.model_json_schema(),
        },
    },
}

#: Query parameters of streams.
LevelQuery = Annotated[
    Level, Query(description="`concept`: every event; `roadmap`: the run's state, coalesced.")
]
RateQuery = Annotated[
    float,
    Query(ge=0.1, le=MAX_RATE, description="Maximum messages per second, at the level `roadmap`."),
]
AfterQuery = Annotated[
    str | None,
    Query(max_length=40, description="`epoch-offset` of the last event that you received."),
]


def events_router(backend: Backend, checks: RequestChecks) -> APIRouter:
    """The route of events."""
    router = APIRouter(prefix="/api/runs", tags=["progress"], route_class=checks.route())

    @router.get(
        "/{run_id}/events",
        response_class=Response,
        responses={
            200: {"content": {"text/event-stream": {"schema": _MESSAGE}}},
            204: {"description": "The client has received the run's end; do not reconnect"},
            **responses(400, 401, 404, 422, 429, 503),
        },
    )
    async def follow_events(
        caller: Reading,
        run_id: RunId,
        level: LevelQuery = "concept",
        rate: RateQuery = RATE,
        after: AfterQuery = None,
        last_event_id: Annotated[
            str | None, Header(max_length=40, description="As `after`; browsers send it.")
        ] = None,
    ) -> Response:
        """Follow a run until it ends, as Server-Sent Events."""
        position = last_event_id or after
        feed = Feed(backend.hub, level=level, rate=rate, tenant=caller.seen_tenant)
        await feed.__aenter__()
        try:
            await feed.follow(run_id, None if position is None else StreamPosition.parse(position))
            if not feed.ended:
                return EventStream(backend, feed, caller.name)
        except BaseException:
            await feed.__aexit__()
            raise
        await feed.__aexit__()
        return Response(status_code=204)

    return router


class EventStream(Response):
    """An answer that lasts as long as its feed.

    Args:
        backend: its settings limit the time that a client may take to read; it counts the stream.
        feed: the messages; closed at the end.
        client: the name of the client, for limits.
    """

    media_type = "text/event-stream"

    def __init__(self, backend: Backend, feed: Feed, client: str) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._send_timeout = backend.settings.web.send_timeout
        self._metrics = backend.metrics
        self._feed = feed
        self._counted = backend.rate_limit.stream(client)
        self._counted.__enter__()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send messages until the feed ends or the client disconnects."""
        disconnected = asyncio.create_task(_until_disconnected(receive))
        sending = asyncio.create_task(self._send_messages(send))
        try:
            await asyncio.wait({disconnected, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(disconnected, sending)
            self._counted.__exit__(None, None, None)
            await self._feed.__aexit__()
        if not sending.cancelled():
            with suppress(TimeoutError):  # the client is too slow: close the connection
                sending.result()
                await send({"type": "http.response.body", "body": b""})

    async def _send_messages(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        while True:
            body = b": keep-alive\n\n"
            with suppress(TimeoutError):
                async with asyncio.timeout(_KEEP_ALIVE):
                    messages = await self._feed.next()
                    if not messages:
                        return
                    self._metrics.messages_sent("sse", messages)
                    body = "".join(
                        f"id: {message.position}\ndata: {message.text}\n\n" for message in messages
                    ).encode()
            try:
                async with asyncio.timeout(self._send_timeout):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            except TimeoutError:
                self._metrics.client_too_slow()
                raise


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
