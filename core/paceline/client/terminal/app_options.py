"""What commands share: the options that choose settings, and how they run."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from paceline.client.terminal.output import (
    console,
    echo_json,
    echo_table,
    harmless,
    json_text,
    log_as_json,
    note,
    warn,
)

__all__ = [
    "console",
    "echo_json",
    "echo_table",
    "harmless",
    "json_option",
    "json_text",
    "note",
    "pairs",
    "run_async",
    "app_options",
    "warn",
]

P = ParamSpec("P")
R = TypeVar("R")


def pairs(_: click.Context, option: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    """Read the values of a repeated ``NAME=VALUE`` option; the last of a name wins.

    Raises:
        click.BadParameter: one of them is no such pair.
    """
    found: dict[str, str] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise click.BadParameter(f"{text!r}: write it as {option.metavar}")
        found[name] = value
    return found


def app_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add the options that choose settings.

    The command receives an ``App`` as ``app`` instead.
    """

    @click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Settings file, instead of ./paceline.toml.",
    )
    @click.option(
        "--set",
        "assignments",
        metavar="KEY=VALUE",
        multiple=True,
        help="One setting by its dotted path, as store.pool_size=5. Repeatable.",
    )
    @click.option("--strategy", metavar="NAME[,NAME]", help="Strategies, outer first.")
    @click.option("--executor", metavar="NAME", help="Executor: in-process, celery, arq, …")
    @click.option(
        "--log-format",
        type=click.Choice(["plain", "json"]),
        help="Lines on stderr: plain text, or JSON with ids of run and concept.",
    )
    @wraps(command)
    def with_app(
        *args: Any,
        config: Path | None,
        assignments: tuple[str, ...],
        strategy: str | None,
        executor: str | None,
        log_format: str | None,
        **kwargs: Any,
    ) -> R:
        from paceline.app import App
        from paceline.settings.load import Value, parse_assignment

        flags = [parse_assignment(text) for text in assignments]
        if strategy is not None:
            flags.append(Value(("strategy",), strategy, "--strategy"))
        if executor is not None:
            flags.append(Value(("executor",), executor, "--executor"))
        if log_format is not None:
            flags.append(Value(("log", "format"), log_format, "--log-format"))
        app = App.load(config, flags)
        if app.settings.log.format == "json":
            log_as_json(app.settings)
        for broken in app.plugins.broken:
            warn(f"plugin {broken.name} could not be loaded: {broken.reason}")
        return command(*args, app=app, **kwargs)

    return with_app


def json_option(command: Callable[..., R]) -> Callable[..., R]:
    """Add ``--json``, given as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(command)


def run_async(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine to its end; Ctrl-C cancels it and ends the process with 130."""
    return asyncio.run(coroutine)
