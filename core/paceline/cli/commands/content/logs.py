"""``paceline logs``."""

import click

from paceline.app import App
from paceline.client.terminal.app_options import json_option, run_async, store_options
from paceline.client.terminal.output import echo_json, terminal_safe
from paceline.client.terminal.stdout import Stdout
from paceline.errors import UsageError


@click.command()
@click.argument("run")
@click.argument("concept", required=False)
@store_options
@json_option
def logs(*, run: str, concept: str | None, app: App, as_json: bool) -> int:
    """Show what happened to the concepts of a RUN: waits, calls, refusals and repairs.

    RUN is a run id, or a roadmap id for its newest run. With CONCEPT, also why another model wrote
    an artifact. Times are seconds since the step began. Of each artifact the first 40 phases are
    kept.

    \b
    Examples:
      paceline logs learn-rust
      paceline logs learn-rust ownership
      paceline logs learn-rust --json
    """
    return run_async(_show(app, run, concept, as_json=as_json))


async def _show(app: App, name: str, concept: str | None, *, as_json: bool) -> int:
    from paceline.cli.runs import find_run
    from paceline.client.run_log import concept_logs

    found = 0
    async with app.factory.open_store(create=False) as store:
        run = await find_run(store, name)
        if not as_json:
            reason = f" ({run.reason})" if run.reason else ""
            click.echo(terminal_safe(f"{run.title} · {run.run_id} · {run.status}{reason}"))
        listed: list[dict[str, object]] = []
        async for one in concept_logs(store, run.run_id, concept_id=concept):
            found += 1
            if as_json:
                listed.append(one.to_json())
                continue
            for line in one.lines():
                click.echo(terminal_safe(line.replace("\n", " ")))
            Stdout.end_if_unread()
    if concept is not None and not found:
        raise UsageError(f"run {run.run_id} has no concept {concept!r}: `paceline show {name}`")
    if as_json:
        echo_json({"run_id": run.run_id, "status": run.status, "concepts": listed})
    return 0
