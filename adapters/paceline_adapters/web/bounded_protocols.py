"""Protocols of uvicorn that close the connections of stalled or hostile clients."""

import asyncio
from typing import Any

from h11 import IDLE
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

#: Maximum number of seconds to receive the head of a request.
HEAD_TIMEOUT = 20.0
#: Maximum number of unread bytes of pongs, and of parts of one message.
_MAX_UNREAD, _MAX_PARTS = 256 * 1024, 1000


class BoundedHttp(H11Protocol):
    """Closes a connection on which no complete request head arrives."""

    _timeout: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Handle received bytes, and wait for the rest of an incomplete head."""
        super().data_received(data)
        if self.conn.their_state is not IDLE:
            self._stop_waiting()
        elif self._timeout is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._timeout = self.loop.call_later(HEAD_TIMEOUT, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None


class BoundedSocket(WebSocketsSansIOProtocol):
    """Disconnects a client that does not read its pongs, or sends a message without end."""

    def handle_ping(self) -> None:
        """Answer a ping, unless the client does not read the answers."""
        if self.transport.is_closing():
            return
        super().handle_ping()
        if self.transport.get_write_buffer_size() > _MAX_UNREAD:
            self.transport.abort()

    def send_receive_event_to_app(self) -> None:
        """Pass on a complete message; close the WebSocket if its text is not UTF-8."""
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
        """Handle one more part of a message."""
        super().handle_cont(event)
        if len(self.frames) > _MAX_PARTS:  # empty parts add no bytes
            self.transport.abort()
