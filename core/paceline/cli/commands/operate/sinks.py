"""``paceline sinks``: how far deliveries are, and trying them again."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict

import click

from paceline.app import App
from paceline.client.terminal.app_options import app_options, json_option, run_async
from paceline.client.terminal.output import (
    echo_json,
    echo_table,
    note,
    table_of,
    terminal_safe,
)
from paceline.contracts.storage.outbox import DeadLetter, SinkFigures, describe_sink
from paceline.contracts.telemetry import Gauges
from paceline.errors import UsageError
from paceline.text import count, nearest

#: Maximum number of dead letters in the table.
MAX_DEAD = 20


@click.group(invoke_without_command=True)
@app_options
@json_option
@click.pass_context
def sinks(context: click.Context, *, app: App, as_json: bool) -> int:
    """Show what waits for each sink, and try deliveries again.

    The exit code is 1 if a sink is down or has dead letters.

    \b
    Examples:
      paceline sinks
      paceline sinks retry
      paceline sinks deliver
    """
    if context.invoked_subcommand is not None:
        return 0
    figures, dead = run_async(_look(app))
    if as_json:
        echo_json(
            {
                "sinks": [asdict(one) for one in figures],
                "dead_letters": [asdict(one) for one in dead],
            }
        )
    elif not figures:
        note("the settings have no sinks; [sinks.files] would add one")
    else:
        _print(app, figures, dead)
    return 1 if any(one.failures or one.dead for one in figures) else 0


@sinks.command()
@app_options
@json_option
@click.argument("name", required=False)
@click.option("--dead", is_flag=True, help="Retry dead letters only, and keep other pauses.")
def retry(*, app: App, name: str | None, dead: bool, as_json: bool) -> int:
    """Deliver dead letters again, and end the pauses of sinks that are down.

    Workers deliver them within seconds. Each one keeps its id.

    \b
    Examples:
      paceline sinks retry
      paceline sinks retry webhook --dead
    """
    _must_exist(app, name)

    async def retry_now() -> int:
        async with app.client(create=False) as client:
            return await client.store.retry_deliveries(sink=name, dead_only=dead)

    revived = run_async(retry_now())
    if as_json:
        echo_json({"dead_letters": revived})
    else:
        click.echo(f"{count(revived, 'dead letter')} due again")
    return 0


@sinks.command()
@app_options
@json_option
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    default=60.0,
    show_default=True,
    help="Maximum number of seconds to deliver.",
)
def deliver(*, app: App, seconds: float, as_json: bool) -> int:
    """Deliver what is due now, without a worker.

    The exit code is 1 if deliveries still wait, for example because a sink is down.

    \b
    Example:
      paceline sinks deliver --seconds 300
    """
    figures, delivered = run_async(_deliver(app, seconds))
    if as_json:
        echo_json({"sinks": [asdict(one) for one in figures], "delivered": delivered})
    else:
        for one in figures:
            text = f"{one.sink}: {delivered[one.sink]} delivered; {describe_sink(one)}"
            click.echo(terminal_safe(text))
    return 1 if any(one.waiting for one in figures) else 0


async def _look(app: App) -> tuple[Sequence[SinkFigures], Sequence[DeadLetter]]:
    async with app.client(create=False) as client:
        return await asyncio.gather(
            client.store.sink_figures(), client.store.undelivered(limit=MAX_DEAD)
        )


async def _deliver(app: App, seconds: float) -> tuple[Sequence[SinkFigures], dict[str, int]]:
    async with app.factory.open_store(create=False) as store:
        gauges = Gauges()
        couriers = app.factory.couriers(store, app.factory.context(), gauges)
        try:
            await couriers.flush(seconds)
        finally:
            await couriers.stop(0)
        delivered = {name: gauges.delivered[name] for name in app.settings.sinks}
        return await store.sink_figures(), delivered


def _must_exist(app: App, name: str | None) -> None:
    known = list(app.settings.sinks)
    if name is not None and name not in known:
        raise UsageError(f"unknown sink {name!r}{nearest(name, known)}")


def _print(app: App, figures: Sequence[SinkFigures], dead: Sequence[DeadLetter]) -> None:
    numbers = ("waiting", "dead", "delivered")
    rows = [
        (
            one.sink,
            app.settings.sinks[one.sink].use or one.sink,
            str(one.waiting),
            str(one.dead),
            str(one.delivered),
            describe_sink(one),
        )
        for one in figures
    ]
    echo_table(table_of(("sink", "use", *numbers, "state"), rows, right=numbers, whole=("sink",)))
    for one in dead:
        what = f"{one.step} of {one.concept_id} v{one.version}" if one.step else "end of run"
        click.echo(
            terminal_safe(f"dead: {one.sink}  {one.id}  run {one.run_id}  {what}: {one.reason}")
        )
