"""Progress of runs on a terminal: a row per roadmap, as many as fit, and the figures below."""

import sys
from collections import Counter
from collections.abc import Callable, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from paceline.client.terminal.output import lines_above, terminal_safe
from paceline.client.terminal.progress_display import (
    SHOWN_FAILURES,
    Display,
    RunProgress,
    failure_line,
    note_line,
)
from paceline.client.totals import Totals
from paceline.contracts.events import Event

#: States of runs that get a row if not all fit, in this order.
_UNFINISHED = ("waiting", "running", "queued")
_STYLES = {
    "completed": "green",
    "partial": "yellow",
    "paused": "yellow",
    "waiting": "yellow",
    "failed": "red",
    "cancelled": "yellow",
}


class LiveDisplay(Display):
    """Rows with bars, which grow with each artifact, and lines with the figures.

    If the terminal is too small, runs that work come first, and ended runs are only counted.
    Whatever else is printed meanwhile appears above.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps
        self._runs: dict[str, RunProgress] = {}
        self._totals = Totals()
        self._console = Console(highlight=False)
        self._live = Live(
            get_renderable=lambda: self, console=self._console, refresh_per_second=8, transient=True
        )
        self._restore: Callable[[], None] = lambda: None

    def __enter__(self) -> "Display":
        self._live.start()
        if sys.stderr.isatty():
            self._restore = lines_above(self._print)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()
        self._live.stop()

    def add(self, run_id: str, title: str, total: int) -> None:
        """Add a row."""
        self._runs[run_id] = RunProgress(
            terminal_safe(" ".join(title.split())), total, total * self._steps
        )

    def event(self, event: Event) -> None:
        """Update the run's row, and print notes of the run and its first failures above."""
        run = self._runs.get(event.task_id)
        if event.is_note and event.concept_id is None:
            self._print(note_line(event))
        if self.keep_note(event) or run is None or event.type == "resync_required":
            return
        run.count(event, self._steps)
        if event.status == "failed" and event.concept_id is not None:
            run.failures += 1
            if run.failures <= SHOWN_FAILURES:
                self._print(f"{run.title}: {failure_line(event)}")

    def figures(self, totals: Totals) -> None:
        """Update the line with the figures."""
        super().figures(totals)
        self._totals = totals

    def _print(self, line: str) -> None:
        self._console.print(Text.from_ansi(line), soft_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        runs = list(self._runs.values())
        below = self._lines(runs)
        used = sum(-(-max(1, line.cell_len) // options.max_width) for line in below)
        shown, folded = _fitting(runs, max(1, console.height - used - 2))
        if folded:
            counts = Counter(run.status for run in folded)
            text = " · ".join(f"{number} {status}" for status, number in counts.items())
            below = [Text(f"and {text}", style="dim"), *below]
        yield Group(_table(shown), *below)

    def _lines(self, runs: Sequence[RunProgress]) -> list[Text]:
        saved = sum(run.saved for run in runs)
        artifacts = sum(run.artifacts for run in runs)
        parts = (f"{saved}/{artifacts} artifacts", self.time_left, self._spent)
        progress = " · ".join(filter(None, parts))
        lines = [Text(progress), Text(self._totals.sentence())]
        if self._note:
            note = Text(self._note, style="dim", no_wrap=True)
            note.truncate(self._console.width, overflow="ellipsis")
            lines.append(note)
        return lines


def _fitting(
    runs: Sequence[RunProgress], rows: int
) -> tuple[Sequence[RunProgress], Sequence[RunProgress]]:
    """The runs that get a row, and the others: if not all fit, working runs come first."""
    if len(runs) <= rows:
        return runs, ()
    unfinished = [run for status in _UNFINISHED for run in runs if run.status == status]
    shown = unfinished[:rows]
    kept = {id(run) for run in shown}
    return shown, [run for run in runs if id(run) not in kept]


def _table(runs: Sequence[RunProgress]) -> Table:
    table = Table(
        Column("roadmap", no_wrap=True, overflow="ellipsis", ratio=2, min_width=16),
        Column("", ratio=1, min_width=8),
        Column("artifacts", justify="right", no_wrap=True),
        Column("status", no_wrap=True, min_width=9),
        Column("time", justify="right", no_wrap=True, min_width=7),
        box=None,
        expand=True,
        pad_edge=False,
        header_style="dim",
    )
    for run in runs:
        status = f"{run.status}, {run.failed} failed" if run.failed else run.status
        table.add_row(
            Text(run.title),
            ProgressBar(total=max(1, run.artifacts), completed=run.saved),
            f"{run.saved}/{run.artifacts}",
            Text(status, style=_STYLES.get(run.status, "")),
            "" if run.seconds is None else _clock(run.seconds),
        )
    return table


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
