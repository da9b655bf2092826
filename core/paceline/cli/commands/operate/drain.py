"""``paceline drain``."""

import click

from paceline.app import App
from paceline.client.terminal.app_options import run_async, store_options
from paceline.client.terminal.output import terminal_safe


@click.command()
@click.argument("workers", metavar="WORKER...", nargs=-1, required=True)
@click.option("--by", metavar="NAME", help="Your name in the audit log; by default your login.")
@store_options
def drain(*, workers: tuple[str, ...], by: str | None, app: App) -> int:
    """Let each WORKER save its calls in flight, queue its runs again, and exit.

    WORKER is the id of a worker process, as `paceline status --json` shows it. Other workers
    continue its runs.

    \b
    Example:
      paceline drain in-process-1f3a
    """
    run_async(_drain(app, workers, by))
    for worker in workers:
        click.echo(terminal_safe(f"{worker}  draining"))
    return 0


async def _drain(app: App, workers: tuple[str, ...], by: str | None) -> None:
    async with app.client(create=False) as client:
        for worker in workers:
            await client.drain_worker(worker, by=by)
