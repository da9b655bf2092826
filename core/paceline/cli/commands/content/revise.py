"""``paceline revise``."""

import getpass

import click

from paceline.app import App
from paceline.client.content.revising import CONDITIONS
from paceline.client.terminal.app_options import app_options, json_option
from paceline.errors import UsageError


@click.command()
@click.argument("run")
@click.argument("concept", required=False)
@click.argument("step", required=False)
@click.option("-i", "--instruction", metavar="TEXT", help="What to change, for the model.")
@click.option("--downstream", is_flag=True, help="Also revise what was made from these artifacts.")
@click.option("--step", "all_of", metavar="STEP", help="Revise this step of every concept.")
@click.option("--where", metavar="CONDITION", help=f"Revise only: {CONDITIONS}.")
@click.option("--by", metavar="TEXT", help="Your name, kept with the version. Default: your login.")
@click.option("--dry-run", is_flag=True, help="List what would be revised, and stop.")
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(0, 64),
    default=0,
    show_default=True,
    help="Start N local workers until the command ends (celery, arq).",
)
@app_options
@json_option
def revise(
    *,
    run: str,
    concept: str | None,
    step: str | None,
    instruction: str | None,
    downstream: bool,
    all_of: str | None,
    where: str | None,
    by: str | None,
    dry_run: bool,
    workers: int,
    app: App,
    as_json: bool,
) -> int:
    """Make artifacts of a RUN again: one, or all that a condition selects.

    RUN is a run id, or a roadmap id for its newest run. The model sees the current text and
    the instruction. Readers see the current version until the new one is saved; older versions
    are kept: see `paceline show --versions` and `paceline restore`.

    Artifacts that were made from a revised one become stale. --downstream revises them, too.
    After Ctrl-C, `paceline resume` continues.

    \b
    Exit codes: those of `paceline run`.

    \b
    Examples:
      paceline revise learn-rust ownership tutorial -i "shorter, with an example"
      paceline revise learn-rust ownership tutorial --downstream
      paceline revise learn-rust --step quiz --where stale
      paceline revise learn-rust --where model=gpt-4o-mini --dry-run
    """
    from paceline.cli.commands.content.revise_run import Wish, revise_artifacts

    if (concept is None) == (all_of is None and where is None):
        raise UsageError("name CONCEPT and STEP for one artifact, or --step or --where for several")
    if concept is not None and step is None:
        raise UsageError("STEP is missing: name it after CONCEPT")
    wish = Wish(
        run=run,
        place=None if concept is None or step is None else (concept, step),
        step=all_of,
        where=where,
        instruction=instruction,
        downstream=downstream,
        requested_by=by or _login(),
    )
    return revise_artifacts(app, wish, workers=workers, dry_run=dry_run, as_json=as_json)


def _login() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without an entry for its user
        return None
