"""``paceline recover``."""

from dataclasses import asdict

import click

from paceline.app import App
from paceline.client.terminal.app_options import executor_options, json_option, run_async
from paceline.client.terminal.output import echo_json, note, terminal_safe
from paceline.runtime.recovery import Recovered

_OUTCOMES = {
    "queued": "queued again",
    "failed": "failed: several workers were lost without saving anything",
    "cancelled": "cancelled, as requested before",
}


@click.command()
@executor_options
@json_option
def recover(*, app: App, as_json: bool) -> int:
    """Queue runs again if their worker has exited.

    Workers do this automatically every few seconds. Use the command if no worker is running.
    A run is queued again when its worker's lease (run.lease) has expired. If the worker was a
    process on this host that has exited, the run is queued at once. Runs of live workers stay
    as they are.

    \b
    Examples:
      paceline recover
      paceline recover --executor celery --json
    """
    recovered, running = run_async(_recover(app))
    if as_json:
        echo_json({"runs": [asdict(one) for one in recovered], "running": running})
        return 0
    for one in recovered:
        click.echo(terminal_safe(f"{one.run_id}  {_OUTCOMES.get(one.status, one.status)}"))
    if not recovered:
        others = f"; {running} are running" if running else ""
        note(f"no run of executor {app.settings.executor} lost its worker{others}")
    return 0


async def _recover(app: App) -> tuple[list[Recovered], int]:
    """The recovered runs, and the number of runs with a live worker."""
    from paceline.runtime.recovery import recover as recover_runs

    async with app.client(create=False) as client:
        recovered: list[Recovered] = []
        # Each call recovers a limited number of runs.
        while found := await recover_runs(client.store, app.settings, client.executor):
            recovered += found
        running = [one.executor for one in await client.store.orphans()]
    return recovered, running.count(app.settings.executor)
