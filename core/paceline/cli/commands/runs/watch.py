"""``paceline watch``."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

import click

from paceline.app import App
from paceline.client.client import Client
from paceline.client.cluster_status import lost_runs
from paceline.client.terminal.app_options import run_async, store_options
from paceline.client.terminal.output import json_text, note, terminal_safe, warn
from paceline.client.terminal.progress_display import (
    Display,
    PlainDisplay,
    RunProgress,
    display,
    note_line,
    refresh_figures,
)
from paceline.client.terminal.stdout import Stdout
from paceline.client.totals import Totals
from paceline.contracts.events import LOST, Event, StreamPosition
from paceline.contracts.storage.records import Run, RunStatus
from paceline.contracts.storage.store import Store
from paceline.errors import PacelineError, UsageError
from paceline.tasks import cancel_and_wait, run_all

if TYPE_CHECKING:
    from paceline.client.remote import RemoteRun, Server

W = TypeVar("W")

#: Maximum number of unfinished runs to follow if no run is named.
MAX_RUNS = 100
#: Seconds between two updates of the figures.
_REFRESH = 1.0
#: Seconds between two looks for runs that lost their worker.
_LOOK_FOR_LOST = 3.0


@click.command()
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option(
    "--url",
    metavar="URL",
    help="Follow runs of a `paceline serve` server; set its token in PACELINE_TOKEN.",
)
@click.option(
    "--after",
    metavar="EPOCH-OFFSET",
    help="Resume the event stream of one RUN after this position.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON event per line; prints nothing if no run is unfinished.",
)
@store_options
def watch(
    *, runs: tuple[str, ...], app: App, url: str | None, after: str | None, as_json: bool
) -> int:
    """Follow each RUN until it ends or is paused; without RUN, follow all active runs.

    RUN is a run id, or a roadmap id for its newest run. The exit code is 0 if all concepts are
    completed, 3 if some failed or a run is paused, and 1 if a run failed or was cancelled.

    \b
    Examples:
      paceline watch
      paceline watch learn-rust --json
      paceline watch learn-rust --url http://127.0.0.1:8080
    """
    if after is not None and (len(runs) != 1 or StreamPosition.parse(after) == LOST):
        raise UsageError(
            "--after needs EPOCH-OFFSET, for example 1760000000000000-42, and exactly one RUN"
        )
    following = _Following(runs, after, as_json=as_json, steps=len(app.settings.run.steps))
    if url is not None:
        return run_async(following.server(url, os.environ.get("PACELINE_TOKEN") or None))
    return run_async(following.store(app))


class LineDisplay(PlainDisplay):
    """Prints a line for each finished concept and each note, for pipes and logs."""

    def failure(self, run: RunProgress, event: Event) -> None:
        """Print nothing: each concept has its line."""

    def event(self, event: Event) -> None:
        """Print a line if a concept or the run has ended, and for each note of a step."""
        super().event(event)
        if event.is_note and event.concept_id is not None:
            done = f"{event.completed}/{event.progress_total}"
            click.echo(terminal_safe(f"{event.roadmap_id}  {done}  {note_line(event)}"))
            return
        if event.concept_id is not None and event.status != "generating":
            done = f"{event.completed}/{event.progress_total}"
            reason = f": {event.reason}" if event.reason else ""
            line = f"{event.roadmap_id}  {done}  {event.concept_id}  {event.status}{reason}"
            click.echo(terminal_safe(line.replace("\n", " ")))


class JsonDisplay(Display):
    """Prints each event as one line of JSON."""

    def event(self, event: Event) -> None:
        """Print the event."""
        click.echo(json_text(event.model_dump(mode="json")))


@dataclass(slots=True)
class _Following:
    """One call of the command; ``names`` is empty for all unfinished runs."""

    names: Sequence[str]
    after: str | None
    as_json: bool
    steps: int
    ended: list[RunStatus] = field(default_factory=list[RunStatus])

    async def store(self, app: App) -> int:
        from paceline.cli.runs import find_runs

        async with app.client(create=False) as client:
            store = client.store
            runs = await find_runs(store, self.names) if self.names else await _unfinished(store)
            if runs:
                await _note_missing_workers(store, runs)
            noting = asyncio.create_task(_note_lost_runs(store, {run.run_id for run in runs}))
            try:
                return await self._show(client, runs, lambda: Totals.read(store))
            finally:
                await cancel_and_wait(noting)

    async def server(self, url: str, token: str | None) -> int:
        from paceline.client.remote import open_server

        async with open_server(url, token) as server:
            if self.names:
                runs = [await server.find(one) for one in self.names]
            else:
                runs = _newest(await server.unfinished(limit=MAX_RUNS + 1))
            return await self._show(server, runs, server.totals)

    async def _show(
        self,
        source: "Client | Server",
        runs: "Sequence[Run | RemoteRun]",
        totals: Callable[[], Awaitable[Totals]],
    ) -> int:
        from paceline.client.terminal.generate import until_signalled
        from paceline.client.terminal.results import exit_code

        if not runs:
            note("no run is unfinished; `paceline show` lists all runs")
            return 0
        shown: Display
        if self.as_json:
            shown = JsonDisplay()
        elif sys.stdout.isatty():
            shown = display(as_json=False, steps=self.steps)
        else:
            shown = LineDisplay(self.steps)
        with shown:
            following = asyncio.create_task(self._follow(source, runs, totals, shown))
            signalled = await until_signalled(following)
        return signalled or exit_code(self.ended)

    async def _follow(
        self,
        source: "Client | Server",
        runs: "Sequence[Run | RemoteRun]",
        totals: Callable[[], Awaitable[Totals]],
        shown: Display,
    ) -> None:
        """Show the runs until the last one has ended."""
        for run in runs:
            shown.add(run.run_id, run.title, run.total)
        looking = asyncio.create_task(refresh_figures(totals, shown, _REFRESH))
        try:
            await run_all(self._one(source, run.run_id, shown) for run in runs)
        finally:
            await cancel_and_wait(looking)

    async def _one(self, source: "Client | Server", run_id: str, shown: Display) -> None:
        async for event in source.follow(run_id, after=self.after):
            shown.event(event)
            Stdout.end_if_unread()
            if event.stopped:
                self.ended.append(cast("RunStatus", event.status))
                return


async def _unfinished(store: Store) -> list[Run]:
    return _newest(await store.runs(status=("queued", "running"), limit=MAX_RUNS + 1))


def _newest(runs: Sequence[W]) -> list[W]:
    if len(runs) > MAX_RUNS:
        note(f"more than {MAX_RUNS} runs are unfinished: following the newest {MAX_RUNS}")
    return list(runs[:MAX_RUNS])


async def _note_lost_runs(store: Store, runs: Collection[str]) -> None:
    """Note each run that loses its worker, and what continues it."""
    noted: set[tuple[str, bool]] = set()
    while True:
        with suppress(PacelineError):
            for lost in await lost_runs(store, await store.workers()):
                key = lost.run_id, lost.workers > 0
                if lost.run_id in runs and key not in noted:
                    noted.add(key)
                    warn(lost.sentence())
        await asyncio.sleep(_LOOK_FOR_LOST)


async def _note_missing_workers(store: Store, runs: Sequence[Run]) -> None:
    serving = {worker.executor for worker in await store.workers()}
    idle = sorted({run.executor for run in runs if run.status == "queued"} - serving)
    if idle:
        note(f"no {' or '.join(idle)} worker is registered, so queued runs wait: paceline worker")
