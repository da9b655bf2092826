"""Connections of clients that do not do their part: they end, and hold no memory until then."""

import asyncio
from typing import Any

from h11 import IDLE
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

#: Seconds from a connection's or a request's first byte to the end of the request's head.
HEAD = 20.0
#: Bytes of pongs that a client may leave untaken, and parts that it may send a message in.
_UNTAKEN, _PARTS = 256 * 1024, 1000


class BoundedHttp(H11Protocol):
    """Closes a connection on which no request comes."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what came, and wait for the rest of a head that is not complete."""
        super().data_received(data)
        if self.conn.their_state is not IDLE:
            self._stop_waiting()
        elif self._late is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._late = self.loop.call_later(HEAD, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class BoundedSocket(WebSocketsSansIOProtocol):
    """Cuts off a client that asks for pongs and takes none, or whose message has no end."""

    def handle_ping(self) -> None:
        """Answer a ping, while the answers are taken."""
        if self.transport.is_closing():
            return
        super().handle_ping()
        if self.transport.get_write_buffer_size() > _UNTAKEN:
            self.transport.abort()

    def send_receive_event_to_app(self) -> None:
        """Hand on a whole message; text that is none ends the socket, and is no fault of ours."""
        try:
            if self.curr_msg_data_type == "text":
                b"".join(self.frames).decode()
        except UnicodeDecodeError:
            self.frames = []
            self.conn.send_close(1007)
            self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()

    def handle_cont(self, event: Any) -> None:
        """Take one more part of a message."""
        super().handle_cont(event)
        if len(self.frames) > _PARTS:  # empty ones count for no bytes
            self.transport.abort()
