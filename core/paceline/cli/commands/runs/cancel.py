"""``paceline cancel``."""

import click

from paceline.app import App
from paceline.client.render import run_brief
from paceline.client.terminal.app_options import json_option, run_async, store_options
from paceline.client.terminal.output import echo_json, terminal_safe
from paceline.contracts.storage.records import ENDED, Run


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@store_options
@json_option
def cancel(*, runs: tuple[str, ...], app: App, as_json: bool) -> int:
    """Cancel each RUN: a run id, or a roadmap id for its newest run.

    A queued run is cancelled at once. A running one stops within seconds. Saved content stays,
    and `paceline resume` continues the run.

    \b
    Example:
      paceline cancel learn-rust
    """
    cancelled = run_async(_cancel(app, runs))
    if as_json:
        described = [
            {**run_brief(now), "cancel_requested": now.cancel_requested} for _, now in cancelled
        ]
        echo_json({"runs": described})
        return 0
    for before, now in cancelled:
        click.echo(terminal_safe(f"{now.run_id}  {_outcome(before, now)}  {now.roadmap_id}"))
    return 0


def _outcome(before: Run, now: Run) -> str:
    if before.status in ENDED:
        return f"already {before.status}"
    return "cancelled" if now.status == "cancelled" else "stopping"


async def _cancel(app: App, given: tuple[str, ...]) -> list[tuple[Run, Run]]:
    from paceline.cli.runs import find_runs

    async with app.client(create=False) as client:
        found = await find_runs(client.store, given)
        return [(run, await client.cancel(run.run_id)) for run in found]
