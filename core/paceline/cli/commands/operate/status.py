"""``paceline status``."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import click

from paceline.app import App
from paceline.client.cluster_status import ClusterStatus, WorkerStatus, cluster_status
from paceline.client.terminal.app_options import executor_options, json_option, run_async
from paceline.client.terminal.output import (
    duration,
    echo_json,
    echo_table,
    table_of,
    terminal_safe,
    warn,
)
from paceline.contracts.storage.outbox import describe_sink
from paceline.contracts.storage.records import Run

#: Maximum number of unfinished runs in the table.
MAX_RUNS = 20


@click.command()
@executor_options
@json_option
def status(*, app: App, as_json: bool) -> int:
    """Show workers, active runs and what they have in flight.

    A worker's concurrency limits roadmaps. The strategy limits the concepts of each roadmap
    that are in flight at once. The last line explains the numbers.

    \b
    Examples:
      paceline status
      paceline status --json
    """
    view = run_async(_look(app))
    if as_json:
        echo_json(view.to_json())
    else:
        _print(view)
    for part in view.unreachable:
        warn(part)
    return 1 if view.unreachable else 0


async def _look(app: App) -> ClusterStatus:
    async with app.client(create=False) as client:
        found = await cluster_status(client.store, client.executor)
        if not any(run.status == "running" for run in found.runs):
            return found
        from paceline.planning.estimator import estimate  # a planner, which takes time to import

        return replace(found, left=await estimate(app.factory, client.store, found.runs))


def _print(view: ClusterStatus) -> None:
    if view.workers:
        _print_workers(view.workers)
        click.echo()
    if view.runs:
        _print_runs(view.runs, view.left)
        click.echo()
    for line in _sums(view):
        click.echo(terminal_safe(line))


def _print_workers(workers: Sequence[WorkerStatus]) -> None:
    figures = ("roadmaps", "reserved", "concepts", "calls", "DB", "events/s", "beat")
    rows = [
        (
            one.worker_id if one.pid is None else f"{one.host.split('/')[0]} pid {one.pid}",
            one.executor or "?",
            f"{len(one.active)} of {one.concurrency}",
            str(len(one.reserved)),
            str(one.concepts),
            str(one.calls),
            f"{one.connections} of {one.pool_max}",
            f"{one.events_per_second:.1f}",
            "never" if one.beat_age is None else f"{one.beat_age:.0f} s ago",
            one.strategy,
        )
        for one in workers
    ]
    titles = ("worker", "executor", *figures, "strategy")
    echo_table(table_of(titles, rows, right=figures, whole=figures))


def _print_runs(runs: Sequence[Run], left: Mapping[str, float]) -> None:
    shown = runs[:MAX_RUNS]
    shared = any(run.share.describe() for run in shown)
    figures = ("concepts", "failed", *(["left"] if left else ()))
    titles = ("run", "status", *figures, "roadmap", *(["for"] if shared else ()))
    rows = [
        (
            run.run_id,
            _status(run),
            f"{run.completed} of {run.total}",
            str(run.failed),
            *([about(left.get(run.run_id))] if left else ()),
            run.title,
            *([run.share.describe()] if shared else ()),
        )
        for run in shown
    ]
    echo_table(table_of(titles, rows, right=figures, whole=("run", "status")))
    if len(runs) > MAX_RUNS:
        click.echo(f"… and {len(runs) - MAX_RUNS} more: paceline show --status running")


def about(seconds: float | None) -> str:
    """The time left, or nothing if it is unknown."""
    return "" if seconds is None else f"about {duration(seconds)}"


def _status(run: Run) -> str:
    if run.cancel_requested:
        return "cancelling"
    if run.pause_requested is not None:
        return "pausing"
    return f"paused: {run.reason}" if run.status == "paused" and run.reason else run.status


def _sums(view: ClusterStatus) -> list[str]:
    totals, budget = view.totals, view.budget
    more = "at least " if view.more_runs else ""
    found = Counter(run.status for run in view.runs)
    lines = [one.describe() for one in view.pauses[:MAX_RUNS]]
    lines += [one.sentence() for one in view.lost[:MAX_RUNS]]
    for worker in view.workers:
        lines += [f"run {run_id} waits: {why}" for run_id, why in worker.trouble.items()]
    lines += [
        f"runs: {more}{found['running']} running, {found['queued']} queued, "
        f"{found['paused']} paused; {totals.roadmaps_queued} in the queue, "
        f"{totals.roadmaps_reserved} reserved"
    ]
    registered = f"{totals.connections} in use, pools may open {budget.registered}"
    if budget.server_max is None:
        lines.append(f"database: {registered}; embedded, no server to exhaust")
    else:
        total = budget.registered + budget.reserve
        fits = "≤" if total <= budget.server_max else "> (too many!)"
        lines.append(
            f"database: {registered} + {budget.reserve} reserved = {total} {fits} "
            f"{budget.server_max} that the server allows"
        )
    lines += [f"sink {one.sink}: {describe_sink(one)}" for one in view.sinks]
    return [*lines, view.why()]
