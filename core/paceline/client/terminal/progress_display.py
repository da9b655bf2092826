"""Progress of runs as plain lines for a pipe; ``live_display`` shows it on a terminal."""

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import click

from paceline.client.terminal.output import terminal_safe
from paceline.client.totals import Totals
from paceline.contracts.events import Event
from paceline.errors import PartUnavailable
from paceline.runtime.outage_log import OutageLog
from paceline.text import count

log = logging.getLogger("paceline.cli")

#: Seconds between two lines of figures in a pipe.
LINE_INTERVAL = 2.0
#: Failed concepts of a run that are shown as they fail; the results list the reasons of all.
SHOWN_FAILURES = 3


@dataclass(slots=True)
class Display:
    """Shows progress. This base class shows nothing, for ``--json``, and keeps the peaks."""

    peaks: Totals = field(default_factory=Totals)
    #: The time left, in words; empty if it is unknown.
    time_left: str = ""
    _note: str = ""
    _noted: tuple[str, str | None] | None = None
    _spent: str = ""

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def add(self, run_id: str, title: str, total: int) -> None:
        """Add a run."""

    def expect(self, time_left: str) -> None:
        """Show from now on that the runs take this long, in words."""
        self.time_left = time_left

    def spend(self, words: str) -> None:
        """Show from now on what the runs have cost so far."""
        self._spent = words

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


@dataclass(slots=True)
class RunProgress:
    """What a display knows of one run.

    Attributes:
        title: title of the roadmap, safe for a terminal.
        concepts: number of concepts.
        artifacts: number of artifacts that the run makes.
        done: concepts that completed.
        failed: concepts that failed.
        saved: artifacts saved so far.
        status: status of the run, or ``waiting`` while its calls wait for long.
        started: when the run started, by the monotonic clock.
        stopped: when it ended or was paused.
        failures: failed concepts that were printed.
    """

    title: str
    concepts: int
    artifacts: int
    done: int = 0
    failed: int = 0
    saved: int = 0
    status: str = "queued"
    started: float | None = None
    stopped: float | None = None
    failures: int = 0

    def count(self, event: Event, steps: int) -> None:
        """Take over the counts and the status of an event."""
        self.done, self.failed = event.completed, event.failed
        self.saved += event.step is not None
        self.saved = max(self.saved, event.completed * steps)
        waits = event.concept_id is None and event.status == "running" and event.reason
        running = event.concept_id is not None
        self.status = "waiting" if waits else "running" if running else event.status
        if self.started is None and self.status != "queued":
            self.started = time.monotonic()
        self.stopped = time.monotonic() if event.stopped else None

    @property
    def seconds(self) -> float | None:
        """Seconds that the run has worked; ``None`` before its start."""
        if self.started is None:
            return None
        return (self.stopped or time.monotonic()) - self.started


class PlainDisplay(Display):
    """Lines for a pipe or a log. Each line says something new: otherwise none is printed."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps
        self._runs: dict[str, RunProgress] = {}
        self._last = time.monotonic()
        self._shown: str = ""

    def add(self, run_id: str, title: str, total: int) -> None:
        """Keep the run's title and size."""
        self._runs[run_id] = RunProgress(terminal_safe(title), total, total * self._steps)

    def event(self, event: Event) -> None:
        """Print the end of a run, a pause, a long wait, a failed concept, or a note of the run."""
        run = self._runs.get(event.task_id)
        if self.keep_note(event):
            if event.concept_id is None:
                title = event.task_id if run is None else run.title
                click.echo(f"{title}: {note_line(event)}")
            return
        if run is None or event.type == "resync_required":
            return
        run.count(event, self._steps)
        reason = f" ({terminal_safe(event.reason)})" if event.reason else ""
        if event.stopped or run.status == "waiting":
            done = f"{run.done}/{count(run.concepts, 'concept')}"
            click.echo(f"{run.title}: {run.status}, {done}{reason}")
        elif event.status == "failed" and event.concept_id is not None:
            self.failure(run, event)

    def failure(self, run: RunProgress, event: Event) -> None:
        """Print a failed concept, if it is one of the first of its run."""
        run.failures += 1
        if run.failures <= SHOWN_FAILURES:
            click.echo(f"{run.title}: {failure_line(event)}")

    def figures(self, totals: Totals) -> None:
        """Print the progress and the figures, at most every ``LINE_INTERVAL`` seconds."""
        super().figures(totals)
        now = time.monotonic()
        if now - self._last < LINE_INTERVAL:
            return
        runs = self._runs.values()
        saved, artifacts = sum(run.saved for run in runs), sum(run.artifacts for run in runs)
        done, concepts = sum(run.done for run in runs), sum(run.concepts for run in runs)
        progress = f"{saved}/{count(artifacts, 'artifact')}, {done}/{count(concepts, 'concept')}"
        new = f"{progress}{self._note}"
        if new == self._shown:
            return
        self._last, self._shown = now, new
        parts = (progress, totals.sentence(), self.time_left, self._spent, self._note)
        click.echo(" · ".join(filter(None, parts)))


def note_line(event: Event) -> str:
    """A note of a step or of a run in one line."""
    place = "" if event.concept_id is None else f"{event.concept_id} {event.step}: "
    return terminal_safe(" ".join(f"{place}{event.reason}".split()))


def failure_line(event: Event) -> str:
    """A failed concept in one line."""
    return terminal_safe(" ".join(f"{event.concept_id} failed: {event.reason}".split()))


def display(*, as_json: bool, steps: int) -> Display:
    """The display for the current stdout; ``steps`` is the number of artifacts of a concept."""
    if as_json:
        return Display()
    if sys.stdout.isatty():
        from paceline.client.terminal.live_display import LiveDisplay

        return LiveDisplay(steps)
    return PlainDisplay(steps)


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
