"""``paceline recover``."""

import click

from paceline.client.command_options import (
    echo_json,
    harmless,
    json_option,
    note,
    run_async,
    settings_options,
)
from paceline.plugins.registry import Plugins
from paceline.runtime.recovery import Recovered
from paceline.settings.load import Loaded

_OUTCOMES = {
    "queued": "queued again",
    "failed": "given up: its workers were lost without saving anything",
    "cancelled": "cancelled, as somebody had asked",
}


@click.command()
@settings_options
@json_option
def recover(*, loaded: Loaded, plugins: Plugins, as_json: bool) -> int:
    """Queue again, now, every run whose worker is gone.

    Workers do this by themselves, every few seconds; this is for when none of them runs, and
    to see what was lost. A worker is gone when its lease (run.lease) has ended, or at once when
    it was a process of this host that lives no more. Runs of living workers are left alone.

    \b
    Examples:
      paceline recover
      paceline recover --executor celery --json
    """
    recovered, living = run_async(_recover(loaded, plugins))
    if as_json:
        runs = [{"run_id": one.run_id, "status": one.status} for one in recovered]
        echo_json({"runs": runs, "running": living})
        return 0
    for one in recovered:
        click.echo(harmless(f"{one.run_id}  {_OUTCOMES.get(one.status, one.status)}"))
    if not recovered:
        working = f"; {living} are being worked on" if living else ""
        note(f"no run of executor {loaded.settings.executor} lost its worker{working}")
    return 0


async def _recover(loaded: Loaded, plugins: Plugins) -> tuple[list[Recovered], int]:
    """What was recovered, and how many runs have a living worker."""
    from paceline.runtime.parts import open_executor, open_store
    from paceline.runtime.recovery import recover as recover_runs

    settings = loaded.settings
    async with (
        open_store(settings, plugins) as store,
        open_executor(settings, plugins) as executor,
    ):
        recovered: list[Recovered] = []
        while found := await recover_runs(store, settings, executor):  # some at a time
            recovered += found
        running = [one for one in await store.orphans() if one.executor == settings.executor]
    return recovered, len(running)
