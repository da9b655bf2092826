"""``paceline submit``."""

from pathlib import Path

import click

from paceline.app import App
from paceline.cli.request_options import request_options
from paceline.cli.share_options import share_options
from paceline.client.client import Submitted
from paceline.client.render import run_brief
from paceline.client.run_request import RunRequest
from paceline.client.terminal.adoption import explain, explain_option, note_adoption
from paceline.client.terminal.app_options import executor_options, json_option, run_async
from paceline.client.terminal.output import echo_json
from paceline.client.terminal.results import note_kept
from paceline.client.terminal.roadmap_files import read_roadmaps, roadmap_files
from paceline.contracts.share import Share
from paceline.contracts.storage.records import Run
from paceline.roadmaps.model import Roadmap


@click.command()
@roadmap_files
@click.option("--new", is_flag=True, help="Start a new run even if the roadmap already has one.")
@explain_option
@request_options
@share_options
@executor_options
@json_option
def submit(
    *,
    files: tuple[Path, ...],
    app: App,
    new: bool,
    share: Share,
    request: RunRequest,
    as_explained: bool,
    as_json: bool,
) -> int:
    """Queue each roadmap FILE for workers, and return at once.

    The command prints the id of each run. `paceline worker` works on queued runs, and
    `paceline watch` follows them.

    \b
    Examples:
      paceline submit roadmap.json --executor celery
      paceline submit roadmap.json --tenant acme --weight 2
      paceline submit roadmap.json --only module:basics --set-context level=beginner
      paceline submit edited.json --adopt
      paceline submit roadmap.json --strategy budget,per-roadmap --budget 2.50
    """
    if as_explained:
        explain(app, read_roadmaps(files), request, share, as_json=as_json)
        return 0
    submitted = run_async(_submit(app, read_roadmaps(files), new=new, share=share, request=request))
    if as_json:
        echo_json({"runs": [{**run_brief(run), "submitted": what} for run, what in submitted]})
        return 0
    for run, outcome in submitted:
        note_kept(run, share)
        click.echo(f"{run.run_id}  {outcome}  {run.roadmap_id}")
    return 0


async def _submit(
    app: App, roadmaps: list[Roadmap], *, new: bool, share: Share, request: RunRequest
) -> list[tuple[Run, Submitted]]:
    async with app.client() as client:
        for roadmap in roadmaps:  # all of them before the first run is stored
            await client.check_request(roadmap, request)
            if request.adopt:
                note_adoption(roadmap, await client.adoption(roadmap, request, share))
        return [
            await client.submit(
                roadmap,
                new=new,
                share=share,
                context=request.context,
                steps=request.steps,
                only=request.only,
                budget=request.budget,
                adopt=request.adopt,
            )
            for roadmap in roadmaps
        ]
