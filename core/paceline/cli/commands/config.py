"""``paceline config``."""

import click

from paceline.app import App
from paceline.client.terminal.app_options import (
    app_options,
    echo_json,
    echo_table,
    harmless,
    json_option,
)


@click.group()
def config() -> None:
    """Show the effective settings."""


@config.command()
@app_options
@click.option("--changed", is_flag=True, help="Only what is not the default.")
@json_option
def show(*, app: App, changed: bool, as_json: bool) -> int:
    """Show every effective setting, its value and where it comes from.

    Flags win over environment variables, those over the file, and that over defaults.
    Passwords and keys are masked.

    \b
    Examples:
      paceline config show
      PACELINE_STORE__POOL_SIZE=5 paceline config show --changed
    """
    from rich.table import Table
    from rich.text import Text

    from paceline.settings.show import shown

    rows = [one for one in shown(app.loaded, app.plugins) if not changed or one.origin != "default"]
    if as_json:
        echo_json(
            {"settings": [{"key": o.key, "value": o.value, "origin": o.origin} for o in rows]}
        )
        return 0
    table = Table("setting", "value", "origin", box=None, pad_edge=False)
    for one in rows:
        table.add_row(
            one.key,
            Text(harmless(_toml(one.value))),
            Text(harmless(one.origin), style="dim" if one.origin == "default" else "cyan"),
        )
    echo_table(table)
    return 0


def _toml(value: object) -> str:
    """The value as the settings file would hold it."""
    import json

    if value is None:
        return "(not set)"
    if isinstance(value, dict) and not value:
        return "{}"
    if isinstance(value, bool | str | list | int | float):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)  # pyright: ignore[reportUnknownArgumentType]
