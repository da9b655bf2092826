"""``paceline export``."""

from pathlib import Path
from typing import Literal

import click

from paceline.app import App
from paceline.client.terminal.app_options import run_async, store_options
from paceline.client.terminal.output import note
from paceline.errors import UsageError

Format = Literal["markdown", "json"]


@click.command()
@click.argument("run")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="Folder for Markdown, or file for JSON instead of stdout.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "json"]),
    default="markdown",
    show_default=True,
    help="One Markdown file per concept, or one JSON document.",
)
@click.option("--force", is_flag=True, help="Replace existing files.")
@store_options
def export(*, run: str, app: App, to: Path | None, form: Format, force: bool) -> int:
    """Write the generated content of a RUN to files.

    RUN is a run id, or a roadmap id for its newest run. For an unfinished run, the command
    exports the content that exists. The export says which concepts and steps are missing, and
    why concepts failed. In Markdown, the answers of a quiz are at the end of the concept's file.

    \b
    Examples:
      paceline export learn-rust --to book
      paceline export learn-rust --format json > learn-rust.json
    """
    from paceline.cli.commands.export_run import read_export

    if to is None and form == "markdown":
        raise UsageError(
            "--to is missing: name the folder for the Markdown files, for example --to book"
        )

    async def write() -> None:
        async with app.factory.open_store(create=False) as store:
            found = await read_export(store, app.factory, run, replace=force)
            if found.summary:
                note(found.summary)
            if form == "markdown" and to is not None:
                await found.write_markdown(to)
            else:
                await found.write_json(to)

    run_async(write())
    return 0
