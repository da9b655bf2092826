"""Server-Sent Events of one run, from the same feed as the sockets."""

import asyncio
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from paceline import Event
from paceline.contracts.events import StreamPosition
from paceline.live.feed import Feed, Level
from paceline.tasks import cancel_and_wait
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from paceline_adapters.web.backend import Backend
from paceline_adapters.web.gate import Gate, Reading
from paceline_adapters.web.metrics import Metrics
from paceline_adapters.web.problems import responses
from paceline_adapters.web.routes.runs import RunId, found

#: Seconds of silence after which a comment says that the connection lives.
_COMMENT_EVERY = 15.0
#: Messages a second that a client may ask for at most, at the level ``roadmap``.
MOST_RATE = 20.0

#: One message of a stream, as the OpenAPI document shows it.
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

#: What a client may ask of a stream.
AskedLevel = Annotated[Level, Query(description="`concept`: each event; `roadmap`: coalesced.")]
AskedRate = Annotated[
    float, Query(ge=0.1, le=MOST_RATE, description="Messages a second at most, of `roadmap`.")
]
AskedPlace = Annotated[
    str | None, Query(max_length=40, description="`epoch-offset` of the last event seen.")
]


def events_router(backend: Backend, gate: Gate, metrics: Metrics) -> APIRouter:
    """The route of events."""
    router = APIRouter(prefix="/api/runs", tags=["progress"], route_class=gate.route())

    @router.get(
        "/{run_id}/events",
        response_class=Response,
        responses={
            200: {"content": {"text/event-stream": {"schema": _MESSAGE}}},
            204: {"description": "The client has seen the run's end: it need not come again"},
            **responses(400, 401, 404, 422, 429, 503),
        },
    )
    async def follow_events(
        caller: Reading,
        run_id: RunId,
        level: AskedLevel = "concept",
        rate: AskedRate = 4.0,
        after: AskedPlace = None,
        last_event_id: Annotated[
            str | None, Header(max_length=40, description="As `after`; browsers send it.")
        ] = None,
    ) -> Response:
        """Follow a run until it ends, as Server-Sent Events."""
        await found(backend, caller, run_id)
        place = last_event_id or after
        feed = Feed(backend.hub, level=level, rate=rate)
        await feed.__aenter__()
        try:
            await feed.follow(run_id, None if place is None else StreamPosition.parse(place))
            if not feed.over:
                return EventStream(backend, gate, metrics, feed, caller.name)
        except BaseException:
            await feed.__aexit__()
            raise
        await feed.__aexit__()
        return Response(status_code=204)

    return router


class EventStream(Response):
    """An answer that goes on as long as its feed does.

    Args:
        backend: whose patience with slow clients holds.
        gate: counts streams.
        metrics: counts messages.
        feed: what is told; left in the end.
        client: whose stream it is.
    """

    media_type = "text/event-stream"

    def __init__(
        self, backend: Backend, gate: Gate, metrics: Metrics, feed: Feed, client: str
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._patience = backend.settings.web.send_timeout
        self._metrics = metrics
        self._feed = feed
        self._counted = gate.limits.stream(client)
        self._counted.__enter__()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Tell the feed's messages until it or the client ends."""
        gone = asyncio.create_task(_until_gone(receive))
        telling = asyncio.create_task(self._tell(send))
        try:
            await asyncio.wait({gone, telling}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(gone, telling)
            self._counted.__exit__(None, None, None)
            await self._feed.__aexit__()
        if not telling.cancelled():
            with suppress(TimeoutError):  # too slow: the connection is cut
                telling.result()
                await send({"type": "http.response.body", "body": b""})

    async def _tell(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": self.raw_headers,
            }
        )
        while True:
            body = b": still here\n\n"
            with suppress(TimeoutError):
                async with asyncio.timeout(_COMMENT_EVERY):
                    told = await self._feed.next()
                    if not told:
                        return
                    self._metrics.told("sse", len(told), sum(one.resync for one in told))
                    body = "".join(
                        f"id: {one.position}\ndata: {one.text}\n\n" for one in told
                    ).encode()
            try:
                async with asyncio.timeout(self._patience):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            except TimeoutError:
                self._metrics.too_slow()
                raise


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
