"""``paceline pause``."""

import click

from paceline.app import App
from paceline.cli.target_options import target_options, targets_of
from paceline.client.cluster_status import pause_to_json
from paceline.client.render import run_brief
from paceline.client.terminal.app_options import json_option, run_async, store_options
from paceline.client.terminal.output import echo_json, terminal_safe
from paceline.contracts.controls import Controls, PauseTarget
from paceline.contracts.storage.records import Run


@click.command()
@click.argument("runs", metavar="[RUN...]", nargs=-1)
@target_options
@click.option("--reason", metavar="TEXT", help="Why; it is shown while the pause lasts.")
@store_options
@json_option
def pause(
    *,
    runs: tuple[str, ...],
    everything: bool,
    tenants: tuple[str, ...],
    keys: tuple[str, ...],
    reason: str | None,
    by: str | None,
    app: App,
    as_json: bool,
) -> int:
    """Pause each RUN (a run id, or a roadmap id for its newest run), or a target.

    A queued run is paused at once. A running one starts no more calls; its calls in flight are
    saved. `paceline resume`, or the same `paceline run` again, continues it.

    A target is everything, a tenant, or the calls of a model or resource. No worker starts a new
    call of it until `paceline resume` with the same option.

    \b
    Examples:
      paceline pause learn-rust
      paceline pause --everything --reason "provider is down"
      paceline pause --tenant acme
      paceline pause --key openai:gpt-4o --key resource:tavily
    """
    targets = targets_of(everything=everything, tenants=tenants, keys=keys, runs=runs)
    if targets:
        controls = run_async(_pause_targets(app, targets, reason or "", by))
        print_pauses(controls, as_json=as_json)
        return 0
    paused = run_async(_pause(app, runs, reason or "by request", by))
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


def print_pauses(controls: Controls, *, as_json: bool) -> None:
    """Print what is paused now."""
    if as_json:
        echo_json({"pauses": [pause_to_json(one) for one in controls.pauses]})
        return
    for one in controls.pauses:
        click.echo(terminal_safe(one.describe()))
    if not controls.pauses:
        click.echo("nothing is paused")


async def _pause_targets(
    app: App, targets: list[PauseTarget], reason: str, by: str | None
) -> Controls:
    async with app.client(create=False) as client:
        for target in targets:
            await client.pause_work(target, reason=reason, by=by)
        return await client.controls()


async def _pause(app: App, given: tuple[str, ...], reason: str, by: str | None) -> list[Run]:
    from paceline.cli.runs import find_runs

    async with app.client(create=False) as client:
        found = await find_runs(client.store, given)
        return [await client.pause(run.run_id, reason, by=by) for run in found]
