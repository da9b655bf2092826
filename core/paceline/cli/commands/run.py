"""``paceline run``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from paceline.app import App
from paceline.cli.sharing import share_options
from paceline.client.terminal.app_options import (
    app_options,
    echo_json,
    json_option,
    note,
    run_async,
)
from paceline.client.terminal.roadmap_files import read_roadmaps, roadmap_files
from paceline.contracts.share import EQUAL, Share
from paceline.roadmaps.model import Roadmap
from paceline.text import count

if TYPE_CHECKING:
    from paceline.client.terminal.generate import Generation


@click.command()
@roadmap_files
@app_options
@click.option("--new", is_flag=True, help="Start other runs, even of roadmaps that have one.")
@click.option(
    "--workers",
    type=click.IntRange(0, 64),
    default=0,
    show_default=True,
    help="Local worker processes to start for the time of the call (celery, arq).",
)
@share_options
@json_option
def run(
    *,
    files: tuple[Path, ...],
    app: App,
    new: bool,
    workers: int,
    share: Share,
    as_json: bool,
) -> int:
    """Generate the content of each roadmap FILE (JSON or YAML).

    The same command again resumes what is unfinished: what was saved is never generated
    twice. With a distributed executor it submits the roadmaps and follows them.

    \b
    Exit codes: 0 all completed, 3 some concepts failed, 1 a run failed or a part cannot be
    reached, 2 wrong usage, settings or roadmap, 130 Ctrl-C, 143 SIGTERM.

    \b
    Examples:
      paceline run roadmap.json
      paceline run a.json b.yaml --strategy global --set strategies.global.concurrency=32
      paceline run roadmaps/*.json --executor celery --workers 1
    """
    return generate(
        app,
        read_roadmaps(files),
        new=new,
        workers=workers,
        share=share,
        as_json=as_json,
    )


def generate(
    app: App,
    roadmaps: list[Roadmap],
    *,
    new: bool = False,
    workers: int = 0,
    share: Share = EQUAL,
    as_json: bool = False,
) -> int:
    """Generate roadmaps, show how it goes and what came of it; returns the exit code."""
    from paceline.client.terminal.generate import Generation
    from paceline.client.terminal.progress_display import display

    shown = display(as_json=as_json, steps=len(app.settings.run.steps))
    generation = Generation(app, roadmaps, shown, new=new, workers=workers, share=share)
    run_async(generation.go())
    return told(generation, as_json=as_json)


def told(generation: "Generation", *, as_json: bool = False) -> int:
    """Tell what came of a generation; returns the exit code."""
    from paceline.client.terminal.results import exit_code, print_table

    code = generation.code or exit_code([result.run.status for result in generation.results])
    peaks = generation.display.peaks
    if as_json:
        echo_json(
            {
                "runs": [result.to_json() for result in generation.results],
                "peaks": {
                    "roadmaps": peaks.roadmaps_active,
                    "concepts": peaks.concepts,
                    "calls": peaks.calls,
                    "connections": peaks.connections,
                    "events_per_second": round(peaks.events_per_second, 1),
                },
                "exit_code": code,
            }
        )
        return code
    print_table(generation.results)
    if generation.code:
        note("stopped; the same command again goes on at the first missing artifact")
    if peaks.roadmaps_active:
        click.echo(
            f"At the peak {_were(peaks.roadmaps_active, 'roadmap')} active at once, and "
            f"{_were(peaks.concepts, 'concept')} in flight within "
            f"{'it' if peaks.roadmaps_active == 1 else 'them'}."
        )
    return code


def _were(number: int, noun: str) -> str:
    return f"{count(number, noun)} {'was' if number == 1 else 'were'}"
