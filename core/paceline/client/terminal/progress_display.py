"""Progress of runs: bars on a terminal, plain lines in a pipe."""

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from paceline.client.terminal.output import terminal_safe
from paceline.client.totals import Totals
from paceline.contracts.events import Event
from paceline.errors import PartUnavailable
from paceline.runtime.outage_log import OutageLog
from paceline.text import count

if TYPE_CHECKING:
    from rich.progress import TaskID

log = logging.getLogger("paceline.cli")

#: Seconds between two lines of figures in a pipe.
LINE_INTERVAL = 2.0


@dataclass(slots=True)
class Display:
    """Shows progress. This base class shows nothing, for ``--json``, and keeps the peaks."""

    peaks: Totals = field(default_factory=Totals)
    #: The time left, in words; empty if it is unknown.
    time_left: str = ""
    _note: str = ""
    _noted: tuple[str, str | None] | None = None

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def add(self, run_id: str, title: str, total: int) -> None:
        """Add a run."""

    def expect(self, time_left: str) -> None:
        """Show from now on that the runs take this long, in words."""
        self.time_left = time_left

    def event(self, event: Event) -> None:
        """Show an event of a run."""

    def keep_note(self, event: Event) -> bool:
        """Keep the newest note of a step until its concept ends; returns whether this is a note."""
        if event.is_note and event.concept_id is not None:
            self._noted = event.task_id, event.concept_id
            self._note = note_line(event)
        elif self._noted is not None and self._noted[0] == event.task_id:
            ended = event.concept_id == self._noted[1] and event.status != "generating"
            if ended or event.stopped:
                self._noted, self._note = None, ""
        return event.is_note

    def figures(self, totals: Totals) -> None:
        """Show the current figures."""
        self.peaks.raise_to(totals)


class PlainDisplay(Display):
    """Lines for a pipe or a log: the end of each run, long waits, and figures every 2 s."""

    def __init__(self) -> None:
        super().__init__()
        self._titles: dict[str, str] = {}
        self._counts: dict[str, tuple[int, int]] = {}
        self._last = time.monotonic()

    def add(self, run_id: str, title: str, total: int) -> None:
        """Keep the run's title."""
        self._titles[run_id] = terminal_safe(title)
        self._counts[run_id] = (0, total)

    def event(self, event: Event) -> None:
        """Print a line if the run has ended, is paused, or waits, and for a note of the run."""
        if self.keep_note(event):
            if event.concept_id is None:
                title = self._titles.get(event.task_id, event.task_id)
                click.echo(f"{title}: {note_line(event)}")
            return
        if event.type != "resync_required":
            self._counts[event.task_id] = (event.completed, event.progress_total)
        waits = event.concept_id is None and event.status == "running" and event.reason
        if event.stopped or waits:
            title = self._titles.get(event.task_id, event.task_id)
            status = "waiting" if waits else event.status
            done = f"{event.completed}/{count(event.progress_total, 'concept')}"
            reason = f" ({terminal_safe(event.reason)})" if event.reason else ""
            click.echo(f"{title}: {status}, {done}{reason}")

    def figures(self, totals: Totals) -> None:
        """Print the figures, at most every ``LINE_INTERVAL`` seconds."""
        super().figures(totals)
        now = time.monotonic()
        if now - self._last >= LINE_INTERVAL:
            self._last = now
            current = sum(count for count, _ in self._counts.values())
            total = sum(total for _, total in self._counts.values())
            note = "".join(f" · {text}" for text in (self.time_left, self._note) if text)
            click.echo(f"{current}/{count(total, 'concept')} · {totals.sentence()}{note}")


class TerminalDisplay(Display):
    """One bar per roadmap, which grows with each artifact, and a line with the figures."""

    def __init__(self, steps: int) -> None:
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.text import Text

        super().__init__()
        self._steps = steps
        self._tasks: dict[str, TaskID] = {}
        self._saved: dict[str, int] = {}
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[count]} {task.fields[state]}", markup=False),
            TimeElapsedColumn(),
            expand=True,
        )
        self._line = Text()
        self._live = Live(
            Group(self._bars, self._line), console=Console(highlight=False), refresh_per_second=8
        )

    def __enter__(self) -> "Display":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def add(self, run_id: str, title: str, total: int) -> None:
        """Add a bar."""
        self._saved[run_id] = 0
        self._tasks[run_id] = self._bars.add_task(
            terminal_safe(title), total=total * self._steps, count=f"0/{total}", state="queued"
        )

    def event(self, event: Event) -> None:
        """Update the run's bar."""
        task = self._tasks.get(event.task_id)
        if event.is_note and event.concept_id is None:
            self._live.console.print(note_line(event), markup=False, soft_wrap=True)
        if self.keep_note(event) or task is None or event.type == "resync_required":
            return
        state = event.status if event.concept_id is None else "running"
        if state == "running" and event.concept_id is None and event.reason:
            state = "waiting"
        if event.failed:
            state += f", {event.failed} failed"
        self._saved[event.task_id] += event.step is not None
        least = event.progress_current * self._steps
        self._saved[event.task_id] = max(self._saved[event.task_id], least)
        self._bars.update(
            task,
            completed=self._saved[event.task_id],
            count=f"{event.completed}/{event.progress_total}",
            state=state,
        )
        if event.stopped:
            self._bars.stop_task(task)

    def figures(self, totals: Totals) -> None:
        """Update the line with the figures."""
        super().figures(totals)
        line = " · ".join(filter(None, (totals.sentence(), self.time_left)))
        self._line.plain = "\n".join(filter(None, (line, self._note)))


def note_line(event: Event) -> str:
    """A note of a step or of a run in one line."""
    place = "" if event.concept_id is None else f"{event.concept_id} {event.step}: "
    return terminal_safe(" ".join(f"{place}{event.reason}".split()))


def display(*, as_json: bool, steps: int) -> Display:
    """The display for the current stdout; ``steps`` is the number of artifacts of a concept."""
    if as_json:
        return Display()
    if sys.stdout.isatty():
        return TerminalDisplay(steps)
    return PlainDisplay()


async def refresh_figures(
    figures: Callable[[], Awaitable[Totals]], display: Display, every: float
) -> None:
    """Show the figures every ``every`` seconds; if they are not available, log that once."""
    outage = OutageLog(log, "trying again")
    while True:
        try:
            display.figures(await figures())
        except PartUnavailable as error:
            outage.failed(error)
        else:
            outage.recovered()
        await asyncio.sleep(every)
