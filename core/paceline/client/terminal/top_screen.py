"""The screen of ``paceline top``: workers, runs and why calls wait, as much as fits."""

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from paceline.client.cluster_status import ClusterStatus, WorkerStatus
from paceline.client.terminal.output import duration, terminal_safe
from paceline.contracts.storage.records import Run
from paceline.text import count

#: At most this share of the height is for workers.
_WORKERS = 3
_ORDER = ("running", "paused", "queued")


class TopScreen:
    """One picture of all workers and unfinished runs.

    Attributes:
        view: what is shown; ``None`` until the first answer.
        problem: why nothing newer can be shown, if so.
    """

    def __init__(self) -> None:
        self.view: ClusterStatus | None = None
        self.problem: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        view = self.view
        if view is None:
            yield Text(self.problem or "reading …", no_wrap=True, overflow="ellipsis")
            return
        height = console.height
        above = self._summary(view)
        workers = view.workers[: max(1, height // _WORKERS - 2)]
        trouble = _trouble(view)[: max(1, height // 6)]
        left = height - len(above) - len(workers) - len(trouble) - 4
        runs = sorted(view.runs, key=lambda run: (_ORDER.index(run.status), run.started_at is None))
        parts: list[Text | Table] = [*above, _worker_table(workers)]
        if len(view.workers) > len(workers):
            parts.append(_dim(f"and {count(len(view.workers) - len(workers), 'more worker')}"))
            left -= 1
        parts += trouble
        shown = runs[: max(1, left)]
        if shown:
            parts.append(_run_table(shown))
        if len(runs) > len(shown) or view.more_runs:
            least = "at least " if view.more_runs else ""
            parts.append(_dim(f"and {least}{count(len(runs) - len(shown), 'more run')}"))
        parts.append(_dim("q quits"))
        yield Group(*parts)

    def _summary(self, view: ClusterStatus) -> list[Text]:
        totals = view.totals
        lines = [
            f"{totals.roadmaps_active} of {count(totals.concurrency, 'roadmap')} running · "
            f"{totals.roadmaps_queued} queued · {count(totals.concepts, 'concept')} in flight · "
            f"{count(totals.calls, 'LLM call')}",
            f"{totals.connections} of {count(view.budget.registered, 'DB connection')} · "
            f"{count(round(totals.events_per_second), 'event')}/s"
            + "".join(
                f" · sink {one.sink}: {one.waiting} waiting" for one in view.sinks if one.waiting
            ),
        ]
        found = [_line(line, "bold") for line in lines]
        problems = [self.problem] if self.problem else list(view.unreachable)
        return [*found, *(_line(problem, "red") for problem in problems)]


def _trouble(view: ClusterStatus) -> list[Text]:
    lost = [one.sentence() for one in view.lost]
    waits = [
        f"run {run_id} waits: {why}"
        for worker in view.workers
        for run_id, why in worker.trouble.items()
    ]
    return [_line(line, "yellow") for line in (*lost, *waits)]


def _worker_table(workers: Sequence[WorkerStatus]) -> Table:
    table = _table("worker", "roadmaps", "concepts", "calls", "DB", "beat", "strategy")
    for one in workers:
        beat = "never" if one.beat_age is None else f"{one.beat_age:.0f} s"
        table.add_row(
            _line(one.worker_id if one.pid is None else f"{one.host.split('/')[0]} {one.pid}"),
            f"{len(one.active)}/{one.concurrency}",
            str(one.concepts),
            str(one.calls),
            f"{one.connections}/{one.pool_max}",
            beat,
            _line(one.strategy),
        )
    return table


def _run_table(runs: Sequence[Run]) -> Table:
    table = _table("roadmap", "", "concepts", "failed", "status", "time", "for")
    for run in runs:
        status = f"paused: {run.reason}" if run.status == "paused" and run.reason else run.status
        table.add_row(
            _line(run.title),
            ProgressBar(total=max(1, run.total), completed=run.finished, width=12),
            f"{run.completed}/{run.total}",
            str(run.failed or ""),
            _line(status),
            duration(run.seconds) if run.started_at else "",
            _line(run.share.describe()),
        )
    return table


def _table(*titles: str) -> Table:
    flexible = {"worker": 1, "strategy": 3, "roadmap": 3, "for": 1}
    columns = [
        Column(title, no_wrap=True, overflow="ellipsis", ratio=flexible.get(title))
        for title in titles
    ]
    return Table(*columns, box=None, expand=True, pad_edge=False, header_style="dim")


def _line(text: str, style: str = "") -> Text:
    clean = terminal_safe(" ".join(text.split()))
    return Text(clean, style=style, no_wrap=True, overflow="ellipsis")


def _dim(text: str) -> Text:
    return Text(text, style="dim")
