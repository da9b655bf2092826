"""``paceline db``: the version of the database's schema."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from paceline.app import App
from paceline.client.terminal.app_options import app_options, json_option, run_async
from paceline.client.terminal.output import echo_json
from paceline.contracts.storage.store import Store
from paceline.errors import SettingsError
from paceline.runtime.part_factory import closing

V = TypeVar("V")


@click.group()
def db() -> None:
    """Create or upgrade the database's schema.

    An SQLite file is created and upgraded automatically. A PostgreSQL server is changed only by
    `paceline db upgrade`, so that you decide when.
    """


@db.command()
@app_options
@json_option
def upgrade(*, app: App, as_json: bool) -> int:
    """Upgrade the schema of store.url; does nothing if already current.

    \b
    Example:
      PACELINE_STORE__URL=postgresql://me:secret@host/db paceline db upgrade
    """
    before, now = _ask_store(app, lambda store: store.upgrade_schema())
    if as_json:
        echo_json({"before": before, "version": now})
    elif before == now:
        click.echo(f"up to date: version {now}")
    else:
        click.echo(f"upgraded from {before or 'nothing'} to version {now}")
    return 0


@db.command()
@app_options
@json_option
def current(*, app: App, as_json: bool) -> int:
    """Show the schema's version.

    The exit code is 1 unless it is the version that this paceline needs.

    \b
    Example:
      paceline db current
    """
    schema = _ask_store(app, lambda store: store.schema_version())
    fits = schema.version == schema.newest
    if as_json:
        echo_json({"version": schema.version, "newest": schema.newest, "up_to_date": fits})
    elif fits:
        click.echo(f"version {schema.version}, up to date")
    else:
        found = "no schema yet" if schema.version is None else f"version {schema.version}"
        fix = "upgrade paceline" if schema.too_new else "paceline db upgrade"
        click.echo(f"{found}; this paceline needs {schema.newest}: {fix}")
    return 0 if fits else 1


def _ask_store(app: App, question: Callable[[Store], Awaitable[V | None]]) -> V:
    """Ask a store that is not open."""

    async def answer() -> V | None:
        async with closing(app.factory.store(app.factory.context())) as store:
            return await question(store)

    found = run_async(answer())
    if found is None:
        raise SettingsError(f"store.url: the store {app.settings.store_kind!r} has no schema")
    return found
