"""``paceline resume``."""

import click

from paceline.client.client import Submitted
from paceline.client.command_options import (
    echo_json,
    harmless,
    json_option,
    note,
    run_async,
    settings_options,
)
from paceline.contracts.records import Run
from paceline.plugins.registry import Plugins
from paceline.settings.load import Loaded

_OUTCOMES: dict[Submitted, str] = {
    "created": "queued",
    "resumed": "queued again",
    "attached": "unfinished already",
    "complete": "complete: nothing is missing",
}


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@settings_options
@json_option
def resume(*, runs: tuple[str, ...], loaded: Loaded, plugins: Plugins, as_json: bool) -> int:
    """Queue each RUN again: a run id, or a roadmap id for its newest run.

    What was saved stays; only what failed or is missing is generated.

    \b
    Examples:
      paceline resume learn-rust
      paceline resume learn-rust learn-sql --executor celery
    """
    resumed, waiting = run_async(_resume(loaded, plugins, runs))
    if as_json:
        echo_json(
            {
                "runs": [
                    {
                        "run_id": run.run_id,
                        "roadmap_id": run.roadmap_id,
                        "status": run.status,
                        "submitted": what,
                    }
                    for run, what in resumed
                ]
            }
        )
    else:
        for run, what in resumed:
            click.echo(harmless(f"{run.run_id}  {_OUTCOMES[what]}  {run.roadmap_id}"))
    if waiting:
        note(
            "no worker runs, so they wait: start `paceline worker`, or call `paceline run FILE` "
            "with the roadmap's file"
        )
    return 0


async def _resume(
    loaded: Loaded, plugins: Plugins, given: tuple[str, ...]
) -> tuple[list[tuple[Run, Submitted]], bool]:
    from paceline.cli.runs import find_runs
    from paceline.client.client import Client
    from paceline.runtime.parts import open_executor, open_store, open_telemetry

    settings = loaded.settings
    async with (
        open_store(settings, plugins) as store,
        open_executor(settings, plugins) as executor,
        open_telemetry(settings, plugins) as telemetry,
    ):
        service = Client(settings, store, executor, telemetry)
        resumed = [await service.resume(run.run_id) for run in await find_runs(store, given)]
        workers = [one for one in await store.workers() if one.executor == settings.executor]
    return resumed, not workers and any(run.status == "queued" for run, _ in resumed)
