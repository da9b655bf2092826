"""Clients of WebSocket and SSE streams: the events they receive and their position."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.web_site import Site

#: An event as a client gets it.
Heard = Mapping[str, Any]


def position(event: Heard) -> str:
    """The position of a client that has received an event."""
    return f"{event['epoch']}-{event['offset']}"


@dataclass(slots=True)
class Socket:
    """A socket and what it received.

    Attributes:
        connection: the socket.
        hello: what the server said first.
        live: figures that came between.
    """

    connection: ClientConnection
    hello: Heard = field(default_factory=dict[str, Any])
    live: list[Heard] = field(default_factory=list[Heard])

    async def message(self) -> Heard:
        """The next message that is not a message of figures."""
        while True:
            heard = json.loads(await self.connection.recv())
            if heard["type"] != "live":
                return dict(heard)
            self.live.append(heard)

    async def events(self, count: int) -> list[Heard]:
        """That many events."""
        return [await self.message() for _ in range(count)]

    async def rest(self) -> tuple[list[Heard], int]:
        """Events until the server closes, and its code."""
        heard: list[Heard] = []
        try:
            while True:
                heard.append(await self.message())
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            return heard, closed.rcvd.code


@asynccontextmanager
async def socket(here: Site, path: str, *, says: object = None) -> AsyncGenerator[Socket]:
    """A socket after the hello; ``says`` is sent first, if the path asks the server to wait."""
    async with connect(f"{here.ws}{path}", max_size=None, open_timeout=60) as connection:
        if says is not None:
            await connection.send(json.dumps(says))
        made = Socket(connection)
        made.hello = await made.message()
        assert made.hello["type"] == "hello"
        yield made


@asynccontextmanager
async def event_stream(
    here: Site, run_id: str, **asked: Any
) -> AsyncGenerator[AsyncGenerator[Heard, None]]:
    """The events of an SSE stream; each with its ``id`` checked."""
    headers = {"Last-Event-ID": asked.pop("last")} if "last" in asked else {}
    path = f"/api/runs/{run_id}/events"
    async with here.client.stream("GET", path, params=asked, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"

        async def events() -> AsyncGenerator[Heard, None]:
            async for message in httpx2.EventSource(answer):
                event = json.loads(message.data)
                assert message.id == position(event)
                yield event

        yield events()
