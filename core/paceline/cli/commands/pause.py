"""``paceline pause``."""

import click

from paceline.app import App
from paceline.client.render import run_brief
from paceline.client.terminal.app_options import json_option, run_async, store_options
from paceline.client.terminal.output import echo_json, terminal_safe
from paceline.contracts.storage.records import Run


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@store_options
@json_option
def pause(*, runs: tuple[str, ...], app: App, as_json: bool) -> int:
    """Pause each RUN: a run id, or a roadmap id for its newest run.

    A queued run is paused at once. A running one starts no more calls; its calls in flight are
    saved. `paceline resume`, or the same `paceline run` again, continues it.

    \b
    Example:
      paceline pause learn-rust
    """
    paused = run_async(_pause(app, runs))
    if as_json:
        described = [{**run_brief(run), "pause_requested": run.pause_requested} for run in paused]
        echo_json({"runs": described})
        return 0
    for run in paused:
        click.echo(terminal_safe(f"{run.run_id}  {_outcome(run)}  {run.roadmap_id}"))
    return 0


def _outcome(run: Run) -> str:
    if run.status == "running":
        return "pausing"
    return "paused" if run.status == "paused" else f"already {run.status}"


async def _pause(app: App, given: tuple[str, ...]) -> list[Run]:
    from paceline.cli.runs import find_runs

    async with app.client(create=False) as client:
        found = await find_runs(client.store, given)
        return [await client.pause(run.run_id) for run in found]
