"""``paceline run``."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from paceline.app import App
from paceline.cli.request_options import request_options
from paceline.cli.share_options import share_options
from paceline.client.run_request import RunRequest
from paceline.client.terminal.adoption import explain, explain_option
from paceline.client.terminal.app_options import app_options, json_option, run_async
from paceline.client.terminal.forecast_table import print_forecast
from paceline.client.terminal.roadmap_files import read_roadmaps, roadmap_files
from paceline.contracts.share import Share
from paceline.errors import UsageError
from paceline.planning.alternatives import Alternative
from paceline.planning.forecast import Forecast
from paceline.planning.plan import Planner, inputs_of
from paceline.roadmaps.model import Roadmap


@click.command()
@roadmap_files
@click.option("--new", is_flag=True, help="Start a new run even if the roadmap already has one.")
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(0, 64),
    default=0,
    show_default=True,
    help="Start N local workers until the command ends (celery, arq).",
)
@click.option("--plan", "planned", is_flag=True, help="Show a forecast and ask before the start.")
@click.option("--yes", is_flag=True, help="With --plan: start without asking.")
@explain_option
@request_options
@share_options
@app_options
@json_option
def run(
    *,
    files: tuple[Path, ...],
    app: App,
    new: bool,
    workers: int,
    planned: bool,
    yes: bool,
    share: Share,
    request: RunRequest,
    as_explained: bool,
    as_json: bool,
) -> int:
    """Generate the content of each roadmap FILE (JSON or YAML).

    Run the same command again to resume: saved content is never generated twice. With a
    distributed executor, the command submits the roadmaps and follows them.

    A run with --steps or --only is completed when its part is. The same command without --only,
    or with more of them, adds what is missing; a run's context cannot change.

    With --budget, a run is paused before it costs more. Its calls in flight are saved, and the same
    command with a larger --budget continues it. It needs the strategy budget, and prices.

    With --adopt, an edited roadmap becomes a new run. It takes over what was made from the same
    concept, context, prompt template, step version and models. --explain lists what that is.

    \b
    Exit codes:
      0    all concepts completed
      1    a run failed, or a part cannot be reached
      2    wrong usage, settings or roadmap
      3    some concepts failed, or a run is paused because its budget is used up
      129  SIGHUP: the terminal was closed
      130  Ctrl-C
      143  SIGTERM

    \b
    Examples:
      paceline run roadmap.json
      paceline run a.json b.yaml --strategy unbounded,global
      paceline run roadmaps/*.json --executor celery --workers 1
      paceline run roadmap.json --only first-module --steps tutorial
      paceline run roadmap.json --context learner.yaml --set-context level=beginner
      paceline run edited.json --adopt
      paceline run roadmap.json --strategy budget,per-roadmap --budget 2.50
      paceline run roadmap.json --plan
    """
    if as_explained:
        explain(app, read_roadmaps(files), request, share, as_json=as_json)
        return 0
    from paceline.client.terminal.generate import generate

    roadmaps = read_roadmaps(files)
    if planned:
        if as_json:
            raise UsageError("--plan asks, so it cannot be used with --json: use `paceline plan`")
        found = run_async(forecast_of(app, roadmaps, request, workers=max(1, workers)))
        print_forecast(found)
        if not yes and not click.confirm("\nStart?", err=True):
            return 0
    return generate(
        app,
        roadmaps,
        new=new,
        workers=workers,
        share=share,
        request=request,
        as_json=as_json,
    )


async def forecast_of(
    app: App, roadmaps: Sequence[Roadmap], request: RunRequest, *, workers: int
) -> Forecast:
    """The forecast of a run with these steps; ``--only`` is not taken into account."""
    inputs = await inputs_of(app.factory)
    if request.only:
        inputs = replace(inputs, unknown=(*inputs.unknown, "--only: all concepts are counted"))
    planner = Planner(factory=app.factory, roadmaps=roadmaps, inputs=inputs, workers=workers)
    if request.steps is None:
        return await planner.forecast()
    steps = Alternative("--steps", values={"run.steps": ",".join(request.steps)})
    (choice,) = await planner.compare([steps])
    return choice.forecast
