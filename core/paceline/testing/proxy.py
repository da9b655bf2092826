"""A TCP proxy on the loopback interface that injects faults into connections.

It runs in a thread with its own event loop, so the test does not need one::

    with Proxy.to(server.url) as proxy:
        client = connect(proxy.through(server.url))
        proxy.black_hole()
        ...
        proxy.heal()
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

from paceline.testing.server_process import HOST, free_port

_CHUNK = 65_536


class Proxy:
    """Forwards bytes. Start and stop it with ``with``, or with `start` and `stop`.

    A fault applies to open and to new connections, until `heal`.

    Args:
        port: port of the server.
        host: host of the server.

    Attributes:
        port: port of the proxy. It never changes.
        cuts: number of connections that the proxy has reset.
    """

    def __init__(self, port: int, host: str = HOST) -> None:
        self._server = (host, port)
        self.port = free_port()
        self.cuts = 0
        self._pause = 0.0
        self._rate = 0.0
        self._limit: int | None = None
        self._forwarding = asyncio.Event()
        self._forwarding.set()
        self._listening: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @classmethod
    def to(cls, url: str) -> Self:
        """Create a proxy to the server of a URL that contains a port."""
        parts = urlsplit(url)
        if parts.port is None:
            raise ValueError("the URL names no port")
        return cls(parts.port, parts.hostname or HOST)

    def through(self, url: str) -> str:
        """The URL with this proxy in the server's place."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}{at}{HOST}:{self.port}").geturl()

    def start(self) -> Self:
        """Start the thread, and listen."""
        self._thread.start()
        self.heal()
        return self

    def stop(self) -> None:
        """Reset all connections, stop listening and end the thread."""
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- faults --------------------------------------------------------------------------

    def cut(self) -> None:
        """Reset all open connections. New ones are accepted."""
        self._do(self._cut_all)

    def refuse(self) -> None:
        """Reset all connections and refuse new ones, as if the server were down."""

        async def close() -> None:
            if self._listening is not None:
                self._listening.close()
                self._listening = None
            self._cut_all()
            while self._links:
                await asyncio.wait({link.task for link in self._links})

        asyncio.run_coroutine_threadsafe(close(), self._loop).result()

    def black_hole(self) -> None:
        """Accept connections and bytes, but forward nothing, as if the route were lost."""
        self._do(self._forwarding.clear)

    def forget(self) -> None:
        """Drop all further bytes of open connections, as a firewall does after it forgot them.

        Neither side notices. New connections are not affected.
        """

        def silence() -> None:
            for link in self._links:
                link.silent = True

        self._do(silence)

    def delay(self, seconds: float) -> None:
        """Delay bytes in both directions by `seconds`."""
        self._pause = seconds

    def throttle(self, bytes_per_second: float) -> None:
        """Limit the rate at which each connection receives bytes from the server."""
        self._rate = bytes_per_second

    def cut_answers(self, after: int) -> None:
        """Reset each connection once the server has sent `after` more bytes over it."""

        def begin() -> None:
            self._limit = after
            for link in self._links:
                link.answered = 0

        self._do(begin)

    def heal(self) -> None:
        """Remove all faults, and forward the bytes that a black hole held."""

        async def listen() -> None:
            self._pause, self._rate, self._limit = 0.0, 0.0, None
            self._forwarding.set()
            if self._listening is None:
                self._listening = await asyncio.start_server(self._connected, HOST, self.port)

        asyncio.run_coroutine_threadsafe(listen(), self._loop).result()

    # -- on the event loop ---------------------------------------------------------------

    def _do(self, change: Callable[[], object]) -> None:
        async def changed() -> None:
            change()

        asyncio.run_coroutine_threadsafe(changed(), self._loop).result()

    def _cut_all(self) -> None:
        for link in list(self._links):
            self._cut(link)

    def _cut(self, link: "_Link") -> None:
        if not link.over:
            self.cuts += 1
            link.reset()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        self._links.add(link)
        try:
            theirs, ours = await asyncio.open_connection(*self._server)
            link.ends.append(ours)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(link, reader, ours, answers=False))
                both.create_task(self._pump(link, theirs, writer, answers=True))
        except* (OSError, asyncio.CancelledError):
            pass  # one side has closed, or the connection was reset
        finally:
            link.over = True
            for end in link.ends:
                end.close()
            self._links.discard(link)

    async def _pump(
        self,
        link: "_Link",
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        *,
        answers: bool,
    ) -> None:
        while data := await source.read(_CHUNK):
            await self._forwarding.wait()
            if link.silent:
                continue
            if self._pause:
                await asyncio.sleep(self._pause)
            while data:
                slow = answers and self._rate > 0
                piece = max(1, int(self._rate / 10)) if slow else len(data)
                if answers and self._limit is not None:
                    piece = min(piece, self._limit - link.answered)
                sink.write(data[:piece])
                await sink.drain()
                data = data[piece:]
                link.answered += piece if answers else 0
                if answers and self._limit is not None and link.answered >= self._limit:
                    self._cut(link)
                if slow and data:
                    await asyncio.sleep(0.1)
        if sink.can_write_eof():
            sink.write_eof()


class _Link:
    """A connection from a client, and the connection to the server that belongs to it."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("create a link in a task")
        self.task = task
        self.ends = [client]
        self.answered = 0
        self.over = False
        self.silent = False

    def reset(self) -> None:
        """Close both connections as a crash would."""
        self.over = True
        for end in self.ends:
            # With a linger time of 0, the peer receives a reset.
            linger = struct.pack("ii", 1, 0)
            connection: socket.socket = end.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            end.transport.abort()
        self.task.cancel()
