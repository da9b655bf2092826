"""``paceline top``."""

import asyncio
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress

import click

from paceline.app import App
from paceline.client.terminal.app_options import executor_options, run_async
from paceline.errors import PacelineError, UsageError


@click.command()
@click.option(
    "--every",
    metavar="SECONDS",
    type=click.FloatRange(0.2, 60.0),
    default=1.0,
    show_default=True,
    help="Seconds between two updates.",
)
@executor_options
def top(*, app: App, every: float) -> int:
    """Watch all workers and unfinished runs on one screen. Press q to quit.

    If the database cannot be reached, the last picture stays, and the reason is shown.

    \b
    Examples:
      paceline top
      paceline top --every 5
    """
    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        raise UsageError("top needs a terminal; in a pipe use `paceline status`")
    return run_async(_top(app, every))


async def _top(app: App, every: float) -> int:
    from rich.console import Console
    from rich.live import Live

    from paceline.client.cluster_status import cluster_status
    from paceline.client.terminal.top_screen import TopScreen

    screen, quitting = TopScreen(), asyncio.Event()
    async with app.client(create=False) as client:
        console = Console(highlight=False)
        with (
            Live(
                get_renderable=lambda: screen, console=console, screen=True, auto_refresh=False
            ) as live,
            _keys(quitting),
        ):
            while not quitting.is_set():
                try:
                    screen.view = await cluster_status(client.store, client.executor)
                    screen.problem = None
                except PacelineError as error:
                    screen.problem = str(error)
                live.refresh()
                with suppress(TimeoutError):
                    await asyncio.wait_for(quitting.wait(), every)
    return 0


@contextmanager
def _keys(quitting: asyncio.Event) -> Generator[None]:
    """Set the event when q is pressed; keys are not shown meanwhile."""
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    loop = asyncio.get_running_loop()

    def pressed() -> None:
        if os.read(descriptor, 1) in (b"q", b"Q", b""):  # nothing: the terminal was closed
            quitting.set()

    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, pressed)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
