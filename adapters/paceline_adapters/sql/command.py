"""``paceline db``: the schema's version."""

import click
from paceline import App
from paceline.client.terminal.app_options import app_options, echo_json, json_option


@click.group()
def db() -> None:
    """Create or upgrade the database's schema.

    SQLite's schema is made by itself; a PostgreSQL server is changed by `paceline db upgrade`
    only, so that a deployment decides when.
    """


@db.command()
@app_options
@json_option
def upgrade(*, app: App, as_json: bool) -> int:
    """Bring the schema of store.url up to date; does nothing where it is.

    \b
    Example:
      PACELINE_STORE__URL=postgresql://me:secret@host/db paceline db upgrade
    """
    from paceline_adapters.sql import schema

    store = app.settings.store
    before, now = schema.upgrade(store.url, store)
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
    """Show the schema's version; the exit code is 1 unless it is this paceline's.

    \b
    Example:
      paceline db current
    """
    from paceline_adapters.sql import schema

    store = app.settings.store
    version = schema.current(store.url, store)
    fits = version == schema.NEWEST
    if as_json:
        echo_json({"version": version, "newest": schema.NEWEST, "up_to_date": fits})
    elif fits:
        click.echo(f"version {version}, up to date")
    else:
        found = "no schema yet" if version is None else f"version {version}"
        fix = "upgrade paceline" if schema.is_newer(version) else "paceline db upgrade"
        click.echo(f"{found}; this paceline needs {schema.NEWEST}: {fix}")
    return 0 if fits else 1
