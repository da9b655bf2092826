"""``paceline config``."""

import click

from paceline.app import App
from paceline.cli.show_group import ShowGroup
from paceline.client.terminal.app_options import (
    echo_json,
    echo_table,
    json_option,
    store_options,
    terminal_safe,
)


@click.group(cls=ShowGroup)
def config() -> None:
    """Show the effective settings and the origin of each.

    `paceline config` alone is short for `paceline config show`.

    \b
    Examples:
      paceline config
      paceline config --changed
    """


@config.command()
@click.option("--changed", is_flag=True, help="Show only the settings that were set.")
@store_options
@json_option
def show(*, app: App, changed: bool, as_json: bool) -> int:
    """Show every setting with its value and origin.

    Command-line options override environment variables, which override the settings file,
    which overrides the defaults. Passwords and keys are masked.

    \b
    Examples:
      paceline config show
      PACELINE_STORE__POOL_SIZE=5 paceline config show --changed
    """
    from rich.table import Table
    from rich.text import Text

    from paceline.settings.show import effective

    rows = [
        one for one in effective(app.loaded, app.plugins) if not changed or one.origin != "default"
    ]
    if as_json:
        echo_json(
            {"settings": [{"key": o.key, "value": o.value, "origin": o.origin} for o in rows]}
        )
        return 0
    table = Table("setting", "value", "origin", box=None, pad_edge=False)
    for one in rows:
        table.add_row(
            one.key,
            Text(terminal_safe(_toml(one.value))),
            Text(terminal_safe(one.origin), style="dim" if one.origin == "default" else "cyan"),
        )
    echo_table(table)
    return 0


config.add_command(show, "list")


def _toml(value: object) -> str:
    """The value as it would be written in the settings file."""
    import json

    if value is None:
        return "(not set)"
    if isinstance(value, dict) and not value:
        return "{}"
    if isinstance(value, bool | str | list | int | float):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)  # pyright: ignore[reportUnknownArgumentType]
