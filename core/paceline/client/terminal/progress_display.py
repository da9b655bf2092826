"""Progress while runs go on: bars on a terminal, plain lines in a pipe."""

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

import click

from paceline.client.terminal.output import harmless
from paceline.client.totals import Totals
from paceline.contracts.events import Event
from paceline.errors import PartUnavailable
from paceline.runtime.outage_log import OutageLog
from paceline.text import count

if TYPE_CHECKING:
    from rich.progress import TaskID

log = logging.getLogger("paceline.cli")

#: Seconds between two lines of figures in a pipe.
LINE_EVERY = 2.0


@dataclass(slots=True)
class Display:
    """Where progress is shown; this one shows nothing, for ``--json``."""

    peaks: Totals = field(default_factory=Totals)

    def __enter__(self) -> "Display":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def add(self, run_id: str, title: str, total: int) -> None:
        """A run is followed from now on."""

    def event(self, event: Event) -> None:
        """Something happened in a run."""

    def figures(self, totals: Totals) -> None:
        """The figures of this moment."""
        self.peaks.raise_to(totals)


class PlainDisplay(Display):
    """Lines that a log can keep: each run's beginning and end, and figures now and then."""

    def __init__(self) -> None:
        super().__init__()
        self._titles: dict[str, str] = {}
        self._counts: dict[str, tuple[int, int]] = {}
        self._last = time.monotonic()

    def add(self, run_id: str, title: str, total: int) -> None:
        """Remember the run's title."""
        self._titles[run_id] = harmless(title)
        self._counts[run_id] = (0, total)

    def event(self, event: Event) -> None:
        """Tell of the run's end."""
        self._counts[event.task_id] = (event.progress_current, event.progress_total)
        if event.terminal:
            title = self._titles.get(event.task_id, event.task_id)
            completed = event.progress_current - event.failed
            done = f"{completed}/{count(event.progress_total, 'concept')}"
            reason = f" ({harmless(event.reason)})" if event.reason else ""
            click.echo(f"{title}: {event.status}, {done}{reason}")

    def figures(self, totals: Totals) -> None:
        """Tell of the figures, not too often."""
        super().figures(totals)
        now = time.monotonic()
        if now - self._last >= LINE_EVERY:
            self._last = now
            current = sum(count for count, _ in self._counts.values())
            total = sum(total for _, total in self._counts.values())
            click.echo(f"{current}/{count(total, 'concept')} · {totals.sentence()}")


class TerminalDisplay(Display):
    """One bar per roadmap, which moves with each artifact, and a line with both layers."""

    def __init__(self, steps: int) -> None:
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress import (
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def add(self, run_id: str, title: str, total: int) -> None:
        """Add a bar."""
        self._saved[run_id] = 0
        self._tasks[run_id] = self._bars.add_task(
            harmless(title), total=total * self._steps, count=f"0/{total}", state="queued"
        )

    def event(self, event: Event) -> None:
        """Move the run's bar."""
        task = self._tasks.get(event.task_id)
        if task is None or event.type == "resync_required":
            return
        state = event.status if event.concept_id is None else "running"
        if event.failed:
            state += f", {event.failed} failed"
        self._saved[event.task_id] += event.step is not None
        least = event.progress_current * self._steps
        self._saved[event.task_id] = max(self._saved[event.task_id], least)
        self._bars.update(
            task,
            completed=self._saved[event.task_id],
            count=f"{event.progress_current}/{event.progress_total}",
            state=state,
        )
        if event.terminal:
            self._bars.stop_task(task)

    def figures(self, totals: Totals) -> None:
        """Renew the line."""
        super().figures(totals)
        self._line.plain = totals.sentence()


def display(*, as_json: bool, steps: int) -> Display:
    """The board that fits where the output goes; ``steps`` artifacts make a concept."""
    if as_json:
        return Display()
    if sys.stdout.isatty():
        return TerminalDisplay(steps)
    return PlainDisplay()


async def look_for_ever(
    figures: Callable[[], Awaitable[Totals]], display: Display, every: float
) -> None:
    """Show figures again and again; log once if they are not available.

    Args:
        figures: returns the figures of this moment.
        display: shows them.
        every: seconds between two looks.
    """
    outage = OutageLog(log, "trying again")
    while True:
        try:
            display.figures(await figures())
        except PartUnavailable as error:
            outage.failed(error)
        else:
            outage.recovered()
        await asyncio.sleep(every)
