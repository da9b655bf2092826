"""``paceline recover``."""

import click

from paceline.app import App
from paceline.client.terminal.app_options import (
    app_options,
    echo_json,
    harmless,
    json_option,
    note,
    run_async,
)
from paceline.runtime.recovery import Recovered

_OUTCOMES = {
    "queued": "queued again",
    "failed": "given up: its workers were lost without saving anything",
    "cancelled": "cancelled, as somebody had asked",
}


@click.command()
@app_options
@json_option
def recover(*, app: App, as_json: bool) -> int:
    """Queue again, now, every run whose worker is gone.

    Workers do this by themselves, every few seconds; this is for when none of them runs, and
    to see what was lost. A worker is gone when its lease (run.lease) has ended, or at once when
    it was a process of this host that lives no more. Runs of living workers are left alone.

    \b
    Examples:
      paceline recover
      paceline recover --executor celery --json
    """
    recovered, living = run_async(_recover(app))
    if as_json:
        runs = [{"run_id": one.run_id, "status": one.status} for one in recovered]
        echo_json({"runs": runs, "running": living})
        return 0
    for one in recovered:
        click.echo(harmless(f"{one.run_id}  {_OUTCOMES.get(one.status, one.status)}"))
    if not recovered:
        working = f"; {living} are being worked on" if living else ""
        note(f"no run of executor {app.settings.executor} lost its worker{working}")
    return 0


async def _recover(app: App) -> tuple[list[Recovered], int]:
    """What was recovered, and how many runs have a living worker."""
    from paceline.runtime.recovery import recover as recover_runs

    async with app.client() as client:
        recovered: list[Recovered] = []
        while found := await recover_runs(
            client.store, app.settings, client.executor
        ):  # some at a time
            recovered += found
        running = [
            one for one in await client.store.orphans() if one.executor == app.settings.executor
        ]
    return recovered, len(running)
