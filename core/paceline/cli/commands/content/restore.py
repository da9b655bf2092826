"""``paceline restore``."""

import click

from paceline.app import App
from paceline.client.terminal.app_options import json_option, run_async, store_options
from paceline.client.terminal.output import echo_json, note, terminal_safe
from paceline.contracts.storage.records import Artifact, Run


@click.command()
@click.argument("run")
@click.argument("concept")
@click.argument("step")
@click.option(
    "--version",
    metavar="N",
    type=click.IntRange(1),
    help="Number of the version; the newest that is not current if not given.",
)
@store_options
@json_option
def restore(
    *, run: str, concept: str, step: str, version: int | None, app: App, as_json: bool
) -> int:
    """Make an older version of an artifact current again.

    Nothing is generated, and no version is lost. A revision of the artifact that is not made
    yet is withdrawn. Artifacts that were made from it become stale.

    \b
    Examples:
      paceline show learn-rust ownership tutorial --versions
      paceline restore learn-rust ownership tutorial
      paceline restore learn-rust ownership tutorial --version 1
    """
    found, restored = run_async(_restore(app, run, (concept, step), version))
    if as_json:
        from paceline.client.render import version_to_json

        described = version_to_json(restored, app.settings.provider.currency)
        echo_json({"run_id": found.run_id, "concept_id": concept, **described})
        return 0
    line = f"{found.run_id}  {concept} {step}: version {restored.version} is current"
    click.echo(terminal_safe(line))
    if found.failed or found.status == "paused":
        note(f"run {found.run_id} is {found.status}; `paceline resume` continues it")
    return 0


async def _restore(
    app: App, name: str, place: tuple[str, str], version: int | None
) -> tuple[Run, Artifact]:
    from paceline.cli.runs import find_run

    async with app.client(create=False) as client:
        run = await find_run(client.store, name)
        restored = await client.restore(run.run_id, *place, version)
        return await client.run(run.run_id), restored
