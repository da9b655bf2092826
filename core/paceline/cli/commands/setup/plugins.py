"""``paceline plugins``."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast, get_args

import click

from paceline.cli.options import Option, options_of
from paceline.cli.show_group import ShowGroup
from paceline.client.terminal.app_options import json_option
from paceline.client.terminal.output import echo_json, echo_table, table_of, terminal_safe
from paceline.errors import PacelineError, SettingsError
from paceline.plugins.built_ins import Kind
from paceline.plugins.registry import Broken, Plugins
from paceline.text import unknown

#: Section of the settings for the options of a kind.
_SECTIONS: dict[Kind, str] = {
    "strategy": "strategies",
    "executor": "executors",
    "provider": "providers",
    "check": "checks",
    "exporter": "exporters",
}

_KINDS = cast("tuple[Kind, ...]", get_args(Kind))


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
    names = {kind: known.names(kind) for kind in _KINDS}
    kinds: list[Kind] = [kind for kind in _KINDS if name in names[kind]]
    if not kinds:
        everything = sorted({one for of_kind in names.values() for one in of_kind})
        raise SettingsError(unknown(f"plugin {name!r}", name, everything))
    described = [_described(known, kind, name) for kind in kinds]
    if as_json:
        echo_json({"plugins": [asdict(one) for one in described]})
        return 0
    for number, one in enumerate(described):
        if number:
            click.echo()
        _print(one)
    return 0


plugins.add_command(show, "list")


def _list(known: Plugins, *, as_json: bool) -> None:
    offered: list[_Described] = []
    broken: list[Broken] = []
    for kind in _KINDS:
        for name in known.names(kind):
            try:
                offered.append(_described(known, kind, name, with_options=False))
            except (PacelineError, ImportError) as error:
                broken.append(Broken(f"{kind} {name}", str(error)))
    broken += known.broken
    if as_json:
        keys = ("kind", "name", "summary", "plugin")
        plugins = [{key: getattr(one, key) for key in keys} for one in offered]
        echo_json({"plugins": plugins, "broken": [asdict(one) for one in broken]})
        return
    rows = [(one.kind, (one.name, "cyan"), one.summary, (one.plugin, "dim")) for one in offered]
    echo_table(table_of(("kind", "name", "what it does", "offered by"), rows))
    for one in broken:
        click.echo(terminal_safe(f"broken: {one.name}: {one.reason}"))


@dataclass(frozen=True, slots=True)
class _Described:
    kind: Kind
    name: str
    summary: str
    plugin: str
    section: str | None = None
    advice: str = ""
    options: Sequence[Option] = ()


def _described(known: Plugins, kind: Kind, name: str, *, with_options: bool = True) -> _Described:
    if kind == "command":
        command = known.command(name)
        if command is None:
            raise SettingsError("the plugin does not offer it")
        return _Described(kind, name, command.summary, command.plugin)
    offer = known.offer(kind, name)
    section = f"{_SECTIONS[kind]}.{name.replace('_', '-')}" if kind in _SECTIONS else None
    options = list(options_of(offer.options)) if with_options else []
    return _Described(kind, name, offer.summary, offer.plugin, section, offer.advice, options)


def _print(one: _Described) -> None:
    click.echo(terminal_safe(f"{one.kind} {one.name}: {one.summary}"))
    click.echo(terminal_safe(f"offered by {one.plugin}"))
    if one.advice:
        click.echo(terminal_safe(f"advice: {one.advice}"))
    if one.kind == "command":
        click.echo(f"paceline {terminal_safe(one.name)} --help shows its options")
        return
    if not one.options:
        click.echo("no options")
        return
    if one.section is not None:
        click.echo(f"options (section [{one.section}] of paceline.toml):")
    rows = [
        (
            (option.name, "cyan"),
            option.type,
            "(required)" if option.required else option.shown_default,
            option.bounds,
            option.description,
        )
        for option in one.options
    ]
    echo_table(table_of(("option", "type", "default", "allowed", "meaning"), rows))
