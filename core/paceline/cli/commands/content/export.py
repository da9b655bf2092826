"""``paceline export``."""

import logging
from pathlib import Path

import click

from paceline.app import App
from paceline.client.terminal.app_options import run_async, store_options
from paceline.client.terminal.output import note
from paceline.contracts.exporter import Exporter, FileExporter, FolderExporter
from paceline.errors import PacelineError, PluginError, UsageError

log = logging.getLogger("paceline.export")


class _FormatOption(click.Option):
    """An option with a help that lists the exporters. They are not loaded for that."""

    def make_metavar(self, ctx: click.Context) -> str:  # noqa: ARG002
        from paceline.plugins.registry import Plugins

        return f"[{'|'.join(Plugins().names('exporter'))}]"


@click.command()
@click.argument("run")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="Folder for Markdown and HTML, or file. JSON and GIFT go to stdout without it.",
)
@click.option(
    "--format",
    "form",
    cls=_FormatOption,
    default="markdown",
    show_default=True,
    help="Format to write; `paceline plugins` describes each exporter.",
)
@click.option("--force", is_flag=True, help="Replace existing files.")
@store_options
def export(*, run: str, app: App, to: Path | None, form: str, force: bool) -> int:
    """Write the generated content of a RUN to files.

    RUN is a run id, or a roadmap id for its newest run. For an unfinished run, the command
    exports the content that exists. The export says which concepts and steps are missing, and
    why concepts failed. In Markdown, the answers of a quiz are at the end of the concept's file.

    \b
    Examples:
      paceline export learn-rust --to book
      paceline export learn-rust --format json > learn-rust.json
      paceline export learn-rust --format html --to site
      paceline export learn-rust --format anki --to learn-rust.apkg
    """
    exporter = app.factory.exporter(form)
    _check_target(exporter, to)

    async def write() -> None:
        from paceline.cli.commands.content import export_files
        from paceline.cli.runs import find_run
        from paceline.client.exporting.content import read_run

        async with app.factory.open_store(create=False) as store:
            found = await read_run(store, app.factory, await find_run(store, run))
            if found.summary:
                note(found.summary)
            try:
                await export_files.write(exporter, found, to, replace=force)
            except PacelineError:
                raise
            except Exception as error:
                log.debug("exporter %r failed", form, exc_info=True)
                raise PluginError(
                    f"exporter {form!r} failed: {type(error).__name__}: {error}"
                ) from error

    run_async(write())
    return 0


def _check_target(exporter: Exporter, to: Path | None) -> None:
    match exporter:
        case FolderExporter() if to is None:
            raise UsageError("--to is missing: name the folder to write, for example --to book")
        case FileExporter(text=False) if to is None:
            raise UsageError(
                "--to is missing: name the file to write, for example "
                f"--to book{exporter.suffix}, or - for stdout"
            )
        case FileExporter() | FolderExporter():
            pass
        case _:
            raise PluginError(
                f"{type(exporter).__name__} must extend FileExporter or FolderExporter"
            )
