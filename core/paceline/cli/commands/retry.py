"""``paceline retry``."""

import click

from paceline.client.client import Retried
from paceline.client.command_options import (
    echo_json,
    harmless,
    json_option,
    note,
    run_async,
    settings_options,
)
from paceline.client.render import dead_letter_to_json
from paceline.plugins.registry import Plugins
from paceline.settings.load import Loaded


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@settings_options
@json_option
def retry(*, runs: tuple[str, ...], loaded: Loaded, plugins: Plugins, as_json: bool) -> int:
    """Give the failed concepts of each RUN another chance, and say why they failed.

    RUN is a run id, or a roadmap id for its newest run. It must be over: partial, failed or
    cancelled. Where one of them is not, none is touched. What is saved stays; what failed or is
    missing is made.

    `paceline resume` takes runs in any state, and only says what became of them: use it to get
    work going, and this one to deal with failures.

    \b
    Examples:
      paceline retry learn-rust
      paceline retry learn-rust learn-sql --json
    """
    retried, waiting = run_async(_retry(loaded, plugins, runs))
    if as_json:
        echo_json({"runs": [_to_json(one) for one in retried]})
    else:
        for one in retried:
            counts = f"{len(one.letters)} failed, {one.missing} missing"
            click.echo(harmless(f"{one.run.run_id}  queued again: {counts}  {one.run.roadmap_id}"))
            for letter in one.letters:
                reason = letter.reason or "no reason is known"
                told = f"{letter.concept_id}: {reason} ({letter.attempts} attempts)"
                click.echo(harmless(f"  {told}"))
    if waiting:
        note("no worker runs, so they wait: start `paceline worker`")
    return 0


def _to_json(one: Retried) -> dict[str, object]:
    return {
        "run_id": one.run.run_id,
        "roadmap_id": one.run.roadmap_id,
        "status": one.run.status,
        "missing": one.missing,
        "dead_letters": [dead_letter_to_json(letter) for letter in one.letters],
    }


async def _retry(
    loaded: Loaded, plugins: Plugins, given: tuple[str, ...]
) -> tuple[list[Retried], bool]:
    from paceline.cli.runs import find_runs
    from paceline.client.client import Client
    from paceline.runtime.parts import open_executor, open_store, open_telemetry

    settings = loaded.settings
    async with (
        open_store(settings, plugins) as store,
        open_executor(settings, plugins) as executor,
        open_telemetry(settings, plugins) as telemetry,
    ):
        found = await find_runs(store, given)
        for run in found:
            Client.retriable(run)
        service = Client(settings, store, executor, telemetry)
        retried = [await service.retry(run.run_id) for run in found]
        workers = [one for one in await store.workers() if one.executor == settings.executor]
    return retried, not workers
