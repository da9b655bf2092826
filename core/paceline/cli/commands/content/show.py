"""``paceline show``."""

from collections.abc import Mapping, Sequence
from typing import get_args

import click

from paceline.app import App
from paceline.client.terminal.app_options import json_option, run_async, store_options
from paceline.client.terminal.output import Cell, echo_json, echo_table, note, table_of
from paceline.contracts.storage.records import Run, RunStatus
from paceline.errors import UsageError


@click.command()
@click.argument("run", required=False)
@click.argument("concept", required=False)
@click.argument("step", required=False)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(get_args(RunStatus)),
    help="List only runs with this status. Repeatable.",
)
@click.option("--roadmap", metavar="ID", help="List only runs of this roadmap.")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="Maximum number of runs to list.",
)
@click.option("--before", metavar="RUN", help="List runs older than RUN.")
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Of a RUN, also show its context, and what was paid without an artifact or twice.",
)
@click.option("--versions", is_flag=True, help="List the versions of a STEP.")
@click.option("--diff", "as_diff", is_flag=True, help="Show what changed in a STEP; see --version.")
@click.option(
    "--version",
    metavar="N",
    type=click.IntRange(1),
    help="Show this version of a STEP, or with --diff the changes since.",
)
@store_options
@json_option
def show(
    *,
    run: str | None,
    concept: str | None,
    step: str | None,
    app: App,
    statuses: tuple[RunStatus, ...],
    roadmap: str | None,
    limit: int,
    before: str | None,
    verbose: bool,
    versions: bool,
    as_diff: bool,
    version: int | None,
    as_json: bool,
) -> int:
    """List runs, or show the concepts of a RUN or the content of a CONCEPT.

    RUN is a run id, or a roadmap id for its newest run.

    \b
    Examples:
      paceline show --status failed --status partial
      paceline show learn-rust
      paceline show learn-rust ownership quiz
      paceline show learn-rust ownership tutorial --versions
      paceline show learn-rust ownership tutorial --diff --version 1
    """
    if (versions or as_diff or version is not None) and step is None:
        raise UsageError("--versions, --diff and --version need RUN, CONCEPT and STEP")
    if versions and (as_diff or version is not None):
        raise UsageError("--versions cannot be combined with --diff or --version")

    # Each form imports what it needs: the list of runs, which is asked for most, needs least.
    async def look() -> None:
        async with app.factory.open_store(create=False) as store:
            if run is None:
                if before is not None:
                    await store.run(before)  # an unknown run is an error, not an empty page
                page = await store.runs(
                    status=statuses, roadmap_id=roadmap, limit=limit, before=before
                )
                etas: Mapping[str, float] = {}
                if as_json and any(one.status == "running" for one in page):
                    from paceline.planning.estimator import estimate

                    etas = await estimate(app.factory, store, page)
                _print_runs(page, etas, as_json=as_json, limit=limit)
            elif concept is not None and step is not None and (versions or as_diff):
                from paceline.cli.commands.content.show_versions import show_diff, show_versions
                from paceline.cli.place import Place

                place = Place(run, concept, step)
                if versions:
                    await show_versions(store, app.factory, place, as_json=as_json)
                else:
                    await show_diff(store, app.factory, place, version, as_json=as_json)
            elif concept is None:
                from paceline.cli.commands.content.show_run import show_run

                await show_run(store, app.factory, run, as_json=as_json, verbose=verbose)
            else:
                from paceline.cli.commands.content.show_run import show_concept
                from paceline.cli.place import Place

                place = Place(run, concept, step)
                await show_concept(store, app.factory, place, version, as_json=as_json)

    run_async(look())
    return 0


def _print_runs(
    runs: Sequence[Run], etas: Mapping[str, float], *, as_json: bool, limit: int
) -> None:
    from paceline.client.cluster_status import run_to_json

    if as_json:
        found = [run_to_json(run, etas.get(run.run_id)) for run in runs]
        following = runs[-1].run_id if len(runs) == limit else None
        echo_json({"runs": found, "before": following})
        return
    if not runs:
        note("no runs; `paceline run roadmap.json` starts one")
        return
    shared = any(run.share.describe() for run in runs)
    titles = ("run", "status", "concepts", "created", "roadmap", *(["for"] if shared else ()))
    rows: list[list[Cell]] = []
    for run in runs:
        failed = f", {run.failed} failed" if run.failed else ""
        concepts = f"{run.completed} of {run.total}{failed}"
        created = f"{run.created_at.astimezone():%m-%d %H:%M}"
        roadmap = f"{run.title} ({run.roadmap_id})"
        share = [run.share.describe()] if shared else []
        rows.append([run.run_id, run.status, concepts, created, roadmap, *share])
    # The table fits 80 columns without wrapping ids and times.
    echo_table(table_of(titles, rows, whole=("run", "status", "created")))
    if len(runs) == limit:
        note(f"there may be older runs: add --before {runs[-1].run_id}")
