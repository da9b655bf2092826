"""The server of ``paceline serve``: uvicorn with bounds, and with the signals of a worker."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import click
import uvicorn
from paceline import App, PartUnavailable, SettingsError, WebSettings
from paceline.client.terminal.local_workers import local_workers
from paceline.process.stop_signals import stop_signals

from paceline_adapters.web.app import create_app
from paceline_adapters.web.backend import Backend
from paceline_adapters.web.bounded_protocols import BoundedHttp, BoundedSocket
from paceline_adapters.web.origin_check import is_loopback

#: Maximum number of seconds for requests in flight when the server stops.
_GRACE = 5
#: Milliseconds after which the kernel closes a connection if the client does not read.
_UNREAD_TIMEOUT = 60_000
#: Maximum number of bytes in one message of a client; the longest one lists a thousand runs.
_MAX_MESSAGE = 256 * 1024


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to its caller."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Install no signal handlers."""
        yield


def config_of(app: object, web: WebSettings) -> uvicorn.Config:
    """The uvicorn configuration for an application."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        lifespan="off",
        workers=1,  # else uvicorn reads WEB_CONCURRENCY, which may not be a number
        log_config=None,
        log_level="warning",  # the level "info" logs addresses of sockets, with their tickets
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=BoundedHttp,
        ws=BoundedSocket,
        ws_max_size=_MAX_MESSAGE,
        ws_per_message_deflate=False,  # its tables are most of an idle socket's memory
        limit_concurrency=web.max_streams + 1000,
        timeout_graceful_shutdown=_GRACE,
        h11_max_incomplete_event_size=64 * 1024,
    )


def listen(web: WebSettings, host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Raises:
        SettingsError: the address is not loopback, and no token is required.
        PartUnavailable: the address is in use, or is not one of this host.
    """
    if not is_loopback(host) and not web.tokens:
        raise SettingsError(
            f"web.host: other hosts can reach {host}, so a token is required. Set web.tokens, "
            "or listen on 127.0.0.1"
        )
    name = host.strip("[]")
    try:
        family, _, _, _, address = socket.getaddrinfo(
            name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.create_server(address[:2], family=family, backlog=2048)  # pyright: ignore[reportArgumentType]
    except OSError as error:
        raise PartUnavailable(f"{host}:{port}: {error.strerror or error}") from None
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Connections inherit it, so a connection ends if its client no longer reads.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_TIMEOUT)
    return listening


async def serve(
    app: App, *, host: str | None, port: int | None, work: bool, as_json: bool = False
) -> int:
    """Serve until a signal; returns the exit code of the process."""
    web = app.settings.web
    host = web.host if host is None else host
    with listen(web, host, web.port if port is None else port) as listening:
        distributed = app.factory.executor().distributed
        async with (
            Backend(app, work=work) as backend,
            local_workers(app.loaded, 1 if work and distributed else 0),
        ):
            server = Server(config_of(create_app(backend), web))
            url = address_of(host, listening)
            click.echo(json.dumps({"url": url}) if as_json else f"Listening on {url}")
            async with _signals(backend, server) as received:
                await server.serve(sockets=[listening])
    return 128 + received[0] if received else 0


@asynccontextmanager
async def _signals(backend: Backend, server: Server) -> AsyncGenerator[list[int]]:
    """Drain at the first signal, stop at the second; gives the list of received signals."""
    loop = asyncio.get_running_loop()
    received: list[int] = []
    stopping: set[asyncio.Task[None]] = set()

    async def stop() -> None:
        await backend.drain()
        server.should_exit = True

    async def stop_now() -> None:
        if backend.worker is not None:
            await backend.worker.stop()

    def on_signal(number: int) -> None:
        received.append(number)
        if len(received) > 1:
            server.force_exit = True
        task = loop.create_task(stop() if len(received) == 1 else stop_now())
        stopping.add(task)
        task.add_done_callback(stopping.discard)

    signals = stop_signals()
    for number in signals:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield received
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
        if stopping:
            await asyncio.wait(stopping)


def address_of(host: str, listening: socket.socket) -> str:
    """The URL of a listening socket."""
    port = listening.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host.strip("[]") else f"http://{host}:{port}"
