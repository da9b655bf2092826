"""A uvicorn of ours: it listens where it is safe to, and stops as workers do."""

import asyncio
import json
import logging
import signal
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import click
import uvicorn
from paceline import PartUnavailable, SettingsError, WebSettings
from paceline.client.terminal.local_workers import local_workers
from paceline.plugins.registry import Plugins
from paceline.runtime.parts import make_executor
from paceline.settings.load import Loaded

from paceline_adapters.web.app import create_app
from paceline_adapters.web.backend import Backend
from paceline_adapters.web.connections import BoundedHttp, BoundedSocket
from paceline_adapters.web.origin import is_loopback

log = logging.getLogger("paceline.web")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: Seconds that requests in flight may take to end as the server stops.
_GRACE = 5
#: Milliseconds that what was sent may stay untaken before the connection is cut.
_UNTAKEN = 60_000
#: Bytes of one message of a client: the longest names a thousand runs.
_MESSAGE = 256 * 1024


class Server(uvicorn.Server):
    """A server whose signals are its caller's."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals alone."""
        yield


def config_of(app: object, web: WebSettings) -> uvicorn.Config:
    """How the server is to serve an application."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        lifespan="off",
        log_config=None,
        log_level="warning",  # each socket's address is told below, with the ticket in it
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=BoundedHttp,
        ws=BoundedSocket,
        ws_max_size=_MESSAGE,
        ws_per_message_deflate=False,  # its tables are most of an idle socket's memory
        limit_concurrency=web.max_streams + 1000,
        timeout_graceful_shutdown=_GRACE,
        h11_max_incomplete_event_size=64 * 1024,
    )


def listen(web: WebSettings, host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        SettingsError: others could reach it, and no token is required.
        PartUnavailable: the address is in use or not ours.
    """
    if not is_loopback(host) and not web.tokens:
        raise SettingsError(
            f"web.host: {host} can be reached by others, so a token is required: set web.tokens, "
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
        # Connections inherit it: one whose client takes nothing any more ends by itself.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNTAKEN)
    return listening


async def serve(
    loaded: Loaded,
    plugins: Plugins,
    *,
    host: str | None,
    port: int | None,
    work: bool,
    as_json: bool = False,
) -> int:
    """Serve until a signal; returns the process's exit code."""
    settings = loaded.settings
    web = settings.web
    place = web.host if host is None else host
    listening = listen(web, place, web.port if port is None else port)
    distributed = make_executor(settings, plugins).distributed
    with listening:
        async with (
            Backend(settings, plugins, work=work) as backend,
            local_workers(loaded, 1 if work and distributed else 0),
        ):
            server = Server(config_of(create_app(backend), web))
            url = address_of(place, listening)
            click.echo(json.dumps({"url": url}) if as_json else f"paceline serves {url}")
            async with _signals(backend, server) as received:
                await server.serve(sockets=[listening])
    return 128 + received[0] if received else 0


@asynccontextmanager
async def _signals(backend: Backend, server: Server) -> AsyncGenerator[list[int]]:
    """The first signal lets calls in flight end, the second does not."""
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

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield received
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        if stopping:
            await asyncio.wait(stopping)


def address_of(host: str, listening: socket.socket) -> str:
    """The address of what listens, as one types it."""
    port = listening.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host.strip("[]") else f"http://{host}:{port}"
