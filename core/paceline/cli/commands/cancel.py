"""``paceline cancel``."""

import click

from paceline.client.command_options import (
    echo_json,
    harmless,
    json_option,
    run_async,
    settings_options,
)
from paceline.contracts.records import ENDED, Run
from paceline.plugins.registry import Plugins
from paceline.settings.load import Loaded


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@settings_options
@json_option
def cancel(*, runs: tuple[str, ...], loaded: Loaded, plugins: Plugins, as_json: bool) -> int:
    """Cancel each RUN: a run id, or a roadmap id for its newest run.

    A waiting run is cancelled at once; one that is being worked on stops within seconds. What
    it saved stays, and `paceline resume` goes on with it.

    \b
    Example:
      paceline cancel learn-rust
    """
    cancelled = run_async(_cancel(loaded, plugins, runs))
    if as_json:
        echo_json(
            {
                "runs": [
                    {
                        "run_id": now.run_id,
                        "roadmap_id": now.roadmap_id,
                        "status": now.status,
                        "cancel_requested": now.cancel_requested,
                    }
                    for _, now in cancelled
                ]
            }
        )
        return 0
    for before, now in cancelled:
        click.echo(harmless(f"{now.run_id}  {_outcome(before, now)}  {now.roadmap_id}"))
    return 0


def _outcome(before: Run, now: Run) -> str:
    if before.status in ENDED:
        return f"over already ({before.status})"
    return "cancelled" if now.status == "cancelled" else "its worker is asked to stop"


async def _cancel(
    loaded: Loaded, plugins: Plugins, given: tuple[str, ...]
) -> list[tuple[Run, Run]]:
    from paceline.cli.runs import find_runs
    from paceline.client.client import Client
    from paceline.runtime.parts import open_executor, open_store

    settings = loaded.settings
    async with (
        open_store(settings, plugins) as store,
        open_executor(settings, plugins) as executor,
    ):
        service = Client(settings, store, executor)
        found = await find_runs(store, given)
        return [(run, await service.cancel(run.run_id)) for run in found]
