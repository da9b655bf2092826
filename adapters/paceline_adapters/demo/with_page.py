"""The demo with its progress page: one process generates, shows bars and serves the page."""

import asyncio
import importlib
import socket
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click
from paceline import App, PartUnavailable, Roadmap, Run
from paceline.client.client import Submitted
from paceline.client.terminal.app_options import run_async
from paceline.client.terminal.generate import Generation
from paceline.client.terminal.progress_display import display

if TYPE_CHECKING:
    from paceline_adapters.web.backend import Backend


def import_page() -> None:
    """Import the web server ahead of time, because that is slow."""
    importlib.import_module("paceline_adapters.web.server")


def generate_with_page(app: App, roadmaps: Sequence[Roadmap], *, new: bool, next_steps: str) -> int:
    """Generate roadmaps as `paceline run` does, and serve the page; returns the exit code.

    On a terminal, the page and the worker run until Ctrl-C. If all concepts are completed,
    ``next_steps`` is printed. ``new`` starts new runs even for roadmaps that have one.
    """
    from paceline_adapters.web.server import address_of, listen

    shown = display(as_json=False, steps=len(app.settings.run.steps))
    generation = Generation(app, roadmaps, shown, new=new)
    web = app.settings.web
    try:
        listening = listen(web, web.host, web.port)
    except PartUnavailable:  # another program uses the port
        listening = listen(web, web.host, 0)
    with listening:
        url = address_of(web.host, listening)
        click.echo(f"Watch the progress in a browser: {url}")
        stay = sys.stdout.isatty() and sys.stdin.isatty()
        demo = _DemoWithPage(generation, url, next_steps, stay=stay)
        run_async(demo.run(listening))
    return demo.code


class _DemoWithPage:
    """One demo with its page."""

    def __init__(self, generation: Generation, url: str, next_steps: str, *, stay: bool) -> None:
        self._generation = generation
        self._url = url
        self._next_steps = next_steps
        self._stay = stay
        self.code = 0
        self._finished = False
        self._runs: Sequence[tuple[Run, Submitted]] = ()

    async def run(self, listening: socket.socket) -> None:
        """Serve the page, generate and report; keep serving if the demo stays."""
        from paceline_adapters.web.backend import Backend

        generation = self._generation
        async with Backend(generation.app) as backend, _served(backend, listening):
            assert backend.worker is not None  # noqa: S101
            work = asyncio.create_task(self._work(backend))
            signalled = await backend.worker.serve_until_signalled(
                work, interrupted=lambda: generation.pause(backend.client, self._runs)
            )
            if not self._finished:
                generation.code = signalled
                self._report()

    async def _work(self, backend: "Backend") -> None:
        worker, working = backend.worker, backend.working
        assert worker is not None  # noqa: S101
        assert working is not None  # noqa: S101
        generation = self._generation
        runs = self._runs = await generation.submit(backend.client)
        with generation.display:
            self._finished = await generation.follow_worker(worker, backend.client, runs, working)
        await generation.collect(backend.client, runs)
        if not self._finished:
            return
        self._report()
        if self._stay:
            click.echo(f"\nThe page stays at {self._url} until Ctrl-C.")
            await asyncio.wait({working})

    def _report(self) -> None:
        self.code = self._generation.report()
        if self.code == 0:
            click.echo(self._next_steps)


@asynccontextmanager
async def _served(backend: "Backend", listening: socket.socket) -> AsyncGenerator[None]:
    """Serve the API and the page while this context is open."""
    from paceline_adapters.web.app import create_app
    from paceline_adapters.web.server import Server, config_of

    server = Server(config_of(create_app(backend), backend.settings.web))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield
    finally:
        await backend.hub.close()
        server.should_exit = True
        await serving
