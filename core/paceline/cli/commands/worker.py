"""``paceline worker``."""

import click

from paceline.app import App
from paceline.client.terminal.app_options import app_options
from paceline.client.terminal.output import show_log


@click.command()
@app_options
@click.option(
    "--concurrency",
    type=click.IntRange(1, 10_000),
    help="Roadmaps at once, instead of the executor's setting.",
)
def worker(*, app: App, concurrency: int | None) -> int:
    """Work on queued runs until stopped.

    SIGTERM or Ctrl-C lets calls in flight end within run.grace seconds, saves what they bring
    and hands the runs back; a second one stops at once. Either way nothing is lost, and any
    worker goes on at the first missing artifact.

    \b
    Examples:
      paceline worker
      paceline worker --executor celery --concurrency 8
    """

    show_log(verbose=True)
    return app.serve(concurrency=concurrency)
