"""``paceline worker``."""

import click

from paceline.client.command_options import settings_options
from paceline.client.terminal import show_log
from paceline.plugins.registry import Plugins
from paceline.settings.load import Loaded


@click.command()
@settings_options
@click.option(
    "--concurrency",
    type=click.IntRange(1, 10_000),
    help="Roadmaps at once, instead of the executor's setting.",
)
def worker(*, loaded: Loaded, plugins: Plugins, concurrency: int | None) -> int:
    """Work on queued runs until stopped.

    SIGTERM or Ctrl-C lets calls in flight end within run.grace seconds, saves what they bring
    and hands the runs back; a second one stops at once. Either way nothing is lost, and any
    worker goes on at the first missing artifact.

    \b
    Examples:
      paceline worker
      paceline worker --executor celery --concurrency 8
    """
    from paceline.runtime.parts import make_executor

    show_log(verbose=True)
    return make_executor(loaded.settings, plugins).serve(concurrency=concurrency)
