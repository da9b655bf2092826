"""``paceline watch``."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import cast

import click

from paceline.cli.board import Board, PlainBoard, TerminalBoard
from paceline.cli.common import harmless, json_text, note, run_async, settings_options
from paceline.cli.stdout import Stdout
from paceline.ending import end
from paceline.errors import PartUnavailable, UsageError
from paceline.events import Event, EventBus
from paceline.follow import follow
from paceline.pipeline import first_cause
from paceline.plugins import Plugins
from paceline.positions import LOST, Position
from paceline.settings.load import Loaded
from paceline.store import Run, RunStatus, Store
from paceline.totals import Totals

#: Unfinished runs that are followed at once where none is named.
MOST_RUNS = 100
#: Seconds between looks at what the workers report.
LOOK_EVERY = 1.0


@click.command()
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@settings_options
@click.option(
    "--after",
    metavar="EPOCH-OFFSET",
    help="Go on after this position of one RUN: the epoch and offset of its last event seen.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one event per line, as JSON; no line where no run is unfinished.",
)
def watch(
    *, runs: tuple[str, ...], loaded: Loaded, plugins: Plugins, after: str | None, as_json: bool
) -> int:
    """Follow each RUN until it ends; without any, all unfinished runs.

    RUN is a run id, or a roadmap id for its newest run. The exit code is that of the runs: 0
    all completed, 3 some concepts failed, 1 a run failed or was cancelled.

    \b
    Examples:
      paceline watch
      paceline watch learn-rust --json
    """
    if after is not None and (len(runs) != 1 or Position.parse(after) == LOST):
        raise UsageError(
            "--after takes EPOCH-OFFSET, as 1760000000000-42, and exactly one RUN to go on with"
        )
    return run_async(_watch(loaded, plugins, runs, after=after, as_json=as_json))


class LineBoard(PlainBoard):
    """A line for each concept that is finished, for pipes and logs."""

    def event(self, event: Event) -> None:
        """Tell of a finished concept, or of the run's end."""
        super().event(event)
        if event.concept_id is not None and event.status != "generating":
            done = f"{event.progress_current}/{event.progress_total}"
            reason = f": {event.reason}" if event.reason else ""
            line = f"{event.roadmap_id}  {done}  {event.concept_id}  {event.status}{reason}"
            click.echo(harmless(line.replace("\n", " ")))


class JsonBoard(Board):
    """Each event as it is on the wire, one per line."""

    def event(self, event: Event) -> None:
        """Print it."""
        click.echo(json_text(event.model_dump(mode="json")))


async def _watch(
    loaded: Loaded, plugins: Plugins, given: Sequence[str], *, after: str | None, as_json: bool
) -> int:
    from paceline.cli.generate import until_signalled
    from paceline.cli.report import exit_code
    from paceline.cli.runs import find_runs
    from paceline.parts import open_bus, open_store

    settings = loaded.settings
    async with open_store(settings, plugins) as store, open_bus(settings, plugins) as bus:
        runs = await find_runs(store, given) if given else await _unfinished(store)
        if not runs:
            note("no run is unfinished; `paceline show` lists those that ended")
            return 0
        await _say_who_works(store, runs)
        # A bus in this process's memory hears nothing of other processes: the store is asked.
        watching = _Watching(store, bus if bus.shared else None, runs, after)
        board = (
            JsonBoard()
            if as_json
            else TerminalBoard(len(settings.run.steps))
            if sys.stdout.isatty()
            else LineBoard()
        )
        with board:
            signalled = await until_signalled(asyncio.create_task(watching.follow(board)))
        return signalled or exit_code(watching.ended)


@dataclass(slots=True)
class _Watching:
    """Runs being followed.

    Attributes:
        store: where they stand.
        bus: whose events to hear, if it reaches us.
        runs: the runs.
        after: position to go on after, for one run.
        ended: the runs as they ended.
    """

    store: Store
    bus: EventBus | None
    runs: Sequence[Run]
    after: str | None
    ended: list[Run] = field(default_factory=list[Run])

    async def follow(self, board: Board) -> None:
        """Show all of them until the last has ended."""
        for run in self.runs:
            board.add(run.run_id, run.title, run.total)
        looking = asyncio.create_task(self._look(board))
        try:
            async with asyncio.TaskGroup() as tasks:
                for run in self.runs:
                    tasks.create_task(self._one(run, board))
        except BaseExceptionGroup as group:
            raise first_cause(group) from None
        finally:
            await end(looking)

    async def _one(self, run: Run, board: Board) -> None:
        async for event in follow(self.store, self.bus, run.run_id, after=self.after):
            board.event(event)
            Stdout.end_if_unread()
            if event.terminal:
                self.ended.append(replace(run, status=cast("RunStatus", event.status)))

    async def _look(self, board: Board) -> None:
        while True:
            with suppress(PartUnavailable):
                totals = Totals()
                for worker in await self.store.workers():
                    totals.add(worker.figures, worker.pool_max)
                board.figures(totals)
            await asyncio.sleep(LOOK_EVERY)


async def _unfinished(store: Store) -> list[Run]:
    runs = list(await store.runs(status=("queued", "running"), limit=MOST_RUNS + 1))
    if len(runs) > MOST_RUNS:
        note(f"more than {MOST_RUNS} runs are unfinished: following the newest {MOST_RUNS}")
    return runs[:MOST_RUNS]


async def _say_who_works(store: Store, runs: Sequence[Run]) -> None:
    serving = {worker.executor for worker in await store.workers()}
    idle = sorted({run.executor for run in runs if run.status == "queued"} - serving)
    if idle:
        note(f"no {' or '.join(idle)} worker is registered, so queued runs wait: paceline worker")
