"""``paceline config``."""

from dataclasses import asdict, replace

import click

from paceline.app import App
from paceline.cli.show_group import ShowGroup
from paceline.client.terminal.app_options import json_option, store_options
from paceline.client.terminal.output import echo_json, echo_table, table_of


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
    which overrides the defaults. Passwords and keys are masked. A model
    without a price of its own shows the price that is used, and its origin.

    \b
    Examples:
      paceline config show
      PACELINE_STORE__POOL_SIZE=5 paceline config show --changed
    """
    from paceline.calls.prices import prices_from_elsewhere
    from paceline.settings.show import effective

    shown = [
        one for one in effective(app.loaded, app.plugins) if not changed or one.origin != "default"
    ]
    prices = prices_from_elsewhere(app.settings)
    for at, one in enumerate(shown):
        if one.key in prices:
            value, origin = prices[one.key]
            shown[at] = replace(one, value=value, origin=origin)
    if as_json:
        echo_json({"settings": [asdict(one) for one in shown]})
        return 0
    rows = [
        (one.key, _toml(one.value), (one.origin, "dim" if one.origin == "default" else "cyan"))
        for one in shown
    ]
    echo_table(table_of(("setting", "value", "origin"), rows))
    return 0


config.add_command(show, "list")


@config.command()
def schema() -> int:
    """Print the JSON schema of paceline.toml.

    It has the options of all installed plugins. Editors with Even Better TOML or taplo complete
    and check the file with it.

    \b
    Example:
      paceline config schema > paceline.schema.json
    """
    from paceline.plugins.registry import Plugins
    from paceline.settings.json_schema import settings_schema

    echo_json(settings_schema(Plugins()))
    return 0


def _toml(value: object) -> str:
    import json

    if value is None:
        return "(not set)"
    if value == {} or isinstance(value, bool | str | list | int | float):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)  # pyright: ignore[reportUnknownArgumentType]
