"""The demo with its page: one process generates, shows bars, and serves what a browser follows."""

import asyncio
import importlib
import socket
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click
from paceline import PartUnavailable, Roadmap
from paceline.client.terminal.app_options import run_async
from paceline.plugins.registry import Plugins
from paceline.settings.load import Loaded

if TYPE_CHECKING:
    from paceline.client.terminal.generate import Generation

    from paceline_adapters.web.backend import Backend


def prepare_page() -> None:
    """Import what takes a while: FastAPI and its like."""
    importlib.import_module("paceline_adapters.web.server")


def generate_beside_page(
    loaded: Loaded, plugins: Plugins, roadmaps: Sequence[Roadmap], *, new: bool, after: str
) -> int:
    """Generate roadmaps as `paceline run` does, beside a page; returns the exit code.

    On a terminal the page, and the worker behind it, stay until Ctrl-C.

    Args:
        loaded: the settings.
        plugins: where parts come from.
        roadmaps: what to generate.
        new: start other runs, even of roadmaps that have one.
        after: what to say when all is completed.
    """
    from paceline.client.terminal.generate import Generation
    from paceline.client.terminal.progress_display import board

    from paceline_adapters.web.server import address_of, listen

    shown = board(as_json=False, steps=len(loaded.settings.run.steps))
    generation = Generation(loaded, plugins, roadmaps, shown, new=new)
    web = loaded.settings.web
    try:
        listening = listen(web, web.host, web.port)
    except PartUnavailable:  # somebody else's, so any that is free
        listening = listen(web, web.host, 0)
    with listening:
        url = address_of(web.host, listening)
        click.echo(f"Watch it in a browser: {url}")
        beside = Beside(generation, url, after, stay=sys.stdout.isatty() and sys.stdin.isatty())
        run_async(beside.go(listening))
    return beside.code


class Beside:
    """One demo with its page.

    Args:
        generation: what to generate.
        url: where the page is.
        after: what to say when all is completed.
        stay: whether to stay up when the work is done.

    Attributes:
        code: the exit code, when it is over.
    """

    def __init__(self, generation: "Generation", url: str, after: str, *, stay: bool) -> None:
        self._generation = generation
        self._url = url
        self._after = after
        self._stay = stay
        self.code = 0
        self._finished = False

    async def go(self, listening: socket.socket) -> None:
        """Serve, generate and tell what came of it; stay if that is wanted."""
        from paceline.runtime.shutdown import serve_until_signalled

        from paceline_adapters.web.backend import Backend

        generation = self._generation
        settings = generation.loaded.settings
        async with Backend(settings, generation.plugins) as backend, _served(backend, listening):
            assert backend.worker is not None  # noqa: S101
            work = asyncio.create_task(self._work(backend))
            signalled = await serve_until_signalled(backend.worker, work)
            if not self._finished:
                generation.code = signalled
                self._tell()

    async def _work(self, backend: "Backend") -> None:
        from paceline.client.follow import AWAY
        from paceline.client.terminal.generate import LOOK_HERE
        from paceline.client.totals import Totals, totals_here
        from paceline.tasks import cancel_and_wait

        worker, working = backend.worker, backend.working
        assert worker is not None  # noqa: S101
        assert working is not None  # noqa: S101
        generation, store = self._generation, worker.parts.store
        runs = await generation.submit(backend.service)

        async def figures() -> Totals:
            return totals_here(worker.figures(), store.pool())

        following = asyncio.create_task(
            generation.follow(store, worker.parts.bus, runs, figures, LOOK_HERE)
        )
        cut_off = asyncio.create_task(worker.until_cut_off(AWAY))
        try:
            with generation.board:
                await asyncio.wait(
                    {following, working, cut_off}, return_when=asyncio.FIRST_COMPLETED
                )
            for task in (cut_off, following):
                if task.done():
                    task.result()  # what it raised
            self._finished = following.done()
        finally:
            await cancel_and_wait(following, cut_off)
        await generation.gather(store, runs)
        if not self._finished:
            return
        self._tell()
        if self._stay:
            click.echo(f"\nThe page stays at {self._url} until Ctrl-C.")
            await asyncio.wait({working})

    def _tell(self) -> None:
        from paceline.cli.commands.run import told

        self.code = told(self._generation)
        if self.code == 0:
            click.echo(self._after)


@asynccontextmanager
async def _served(backend: "Backend", listening: socket.socket) -> AsyncGenerator[None]:
    """Serve the API and the page as long as this is open."""
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
