"""``paceline plugins``."""

from collections.abc import Iterator
from typing import cast, get_args

import click

from paceline.cli.options import Option, options_of
from paceline.cli.show_group import ShowGroup
from paceline.client.terminal.app_options import echo_json, echo_table, json_option, terminal_safe
from paceline.errors import PacelineError, SettingsError
from paceline.plugins.built_ins import Kind
from paceline.plugins.registry import Broken, Plugins
from paceline.text import unknown

#: Section of the settings for the options of a kind.
_SECTIONS: dict[Kind, str] = {
    "strategy": "strategies",
    "executor": "executors",
    "provider": "providers",
}


@click.group(cls=ShowGroup)
def plugins() -> None:
    """List strategies, executors and all other plugins.

    `paceline plugins` alone is short for `paceline plugins show`.

    \b
    Examples:
      paceline plugins
      paceline plugins show per-roadmap
    """


@plugins.command()
@click.argument("name", required=False)
@json_option
def show(*, name: str | None, as_json: bool) -> int:
    """List all plugins, or show the options of one.

    For the plugin NAME, the command shows each option with its type, default, bounds and
    meaning.

    \b
    Examples:
      paceline plugins show
      paceline plugins show per-roadmap
      PACELINE_PLUGINS=none paceline plugins   leaves third-party plugins out
    """
    known = Plugins()
    if name is None:
        _list(known, as_json=as_json)
        return 0
    names = {kind: known.names(kind) for kind in _kinds()}
    kinds: list[Kind] = [kind for kind in _kinds() if name in names[kind]]
    if not kinds:
        everything = sorted({one for of_kind in names.values() for one in of_kind})
        raise SettingsError(unknown(f"plugin {name!r}", name, everything))
    if as_json:
        echo_json({"plugins": [_described(known, kind, name) for kind in kinds]})
        return 0
    for number, kind in enumerate(kinds):
        if number:
            click.echo()
        _print(known, kind, name)
    return 0


plugins.add_command(show, "list")


def _list(known: Plugins, *, as_json: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    rows, broken = _all(known)
    if as_json:
        faults = [{"name": one.name, "reason": one.reason} for one in broken]
        echo_json({"plugins": rows, "broken": faults})
        return
    table = Table("kind", "name", "what it does", "offered by", box=None, pad_edge=False)
    for row in rows:
        table.add_row(
            row["kind"],
            Text(terminal_safe(row["name"]), style="cyan"),
            Text(terminal_safe(row["summary"])),
            Text(terminal_safe(row["plugin"]), style="dim"),
        )
    echo_table(table)
    for one in broken:
        click.echo(terminal_safe(f"broken: {one.name}: {one.reason}"))


def _kinds() -> tuple[Kind, ...]:
    return cast("tuple[Kind, ...]", get_args(Kind))


def _all(known: Plugins) -> tuple[list[dict[str, str]], list[Broken]]:
    """A row for each name of each kind, and the plugins that could not be loaded."""
    rows: list[dict[str, str]] = []
    broken: list[Broken] = []
    for kind in _kinds():
        for name in known.names(kind):
            try:
                rows.append(_row(known, kind, name))
            except (PacelineError, ImportError) as error:
                broken.append(Broken(f"{kind} {name}", str(error)))
    return rows, [*broken, *known.broken]


def _row(known: Plugins, kind: Kind, name: str) -> dict[str, str]:
    if kind == "command":
        command = known.command(name)
        if command is None:
            raise SettingsError("the plugin does not offer it")
        return {"kind": kind, "name": name, "summary": command.summary, "plugin": command.plugin}
    offer = known.offer(kind, name)
    return {"kind": kind, "name": name, "summary": offer.summary, "plugin": offer.plugin}


def _described(known: Plugins, kind: Kind, name: str) -> dict[str, object]:
    described: dict[str, object] = {**_row(known, kind, name), "section": _section(kind, name)}
    described["advice"] = _advice(known, kind, name)
    described["options"] = [
        {
            "name": one.name,
            "type": one.type,
            "default": one.default,
            "required": one.required,
            "bounds": one.bounds,
            "description": one.description,
        }
        for one in _options(known, kind, name)
    ]
    return described


def _options(known: Plugins, kind: Kind, name: str) -> Iterator[Option]:
    return iter(()) if kind == "command" else options_of(known.offer(kind, name).options)


def _advice(known: Plugins, kind: Kind, name: str) -> str:
    return "" if kind == "command" else known.offer(kind, name).advice


def _section(kind: Kind, name: str) -> str | None:
    return f"{_SECTIONS[kind]}.{name.replace('_', '-')}" if kind in _SECTIONS else None


def _print(known: Plugins, kind: Kind, name: str) -> None:
    from rich.table import Table
    from rich.text import Text

    row = _row(known, kind, name)
    click.echo(terminal_safe(f"{kind} {name}: {row['summary']}"))
    click.echo(terminal_safe(f"offered by {row['plugin']}"))
    if advice := _advice(known, kind, name):
        click.echo(terminal_safe(f"advice: {advice}"))
    section = _section(kind, name)
    options = list(_options(known, kind, name))
    if kind == "command":
        click.echo(f"paceline {terminal_safe(name)} --help shows its options")
        return
    if not options:
        click.echo("no options")
        return
    if section is not None:
        click.echo(f"options (section [{section}] of paceline.toml):")
    table = Table("option", "type", "default", "allowed", "meaning", box=None, pad_edge=False)
    for one in options:
        default = "(required)" if one.required else one.shown_default
        table.add_row(
            Text(terminal_safe(one.name), style="cyan"),
            Text(one.type),
            Text(terminal_safe(default)),
            Text(one.bounds),
            Text(terminal_safe(one.description)),
        )
    echo_table(table)
