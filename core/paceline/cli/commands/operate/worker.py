"""``paceline worker``."""

import click

from paceline.app import App
from paceline.client.terminal.app_options import app_options
from paceline.client.terminal.output import show_log


@click.command()
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1, 10_000),
    help="Maximum number of roadmaps at once, instead of the executor's setting.",
)
@app_options
def worker(*, app: App, concurrency: int | None) -> int:
    """Work on queued runs until stopped.

    After SIGTERM, Ctrl-C or SIGHUP (a closed terminal), the worker waits up to run.grace
    seconds for calls in flight, saves their results and queues its runs again. A second signal
    stops it at once. No saved content is lost, and any worker can continue the runs.

    \b
    Examples:
      paceline worker
      paceline worker --executor celery --concurrency 8
    """
    show_log(verbose=True)
    return app.serve(concurrency=concurrency)
