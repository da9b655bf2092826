"""The options that choose settings, and how commands run."""

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
    json_text,
    log_as_json,
    note,
    terminal_safe,
    warn,
)

__all__ = [
    "app_options",
    "console",
    "echo_json",
    "echo_table",
    "executor_options",
    "json_option",
    "json_text",
    "note",
    "pairs",
    "run_async",
    "settings_options",
    "store_options",
    "terminal_safe",
    "warn",
]

P = ParamSpec("P")
R = TypeVar("R")


def pairs(_: click.Context, option: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    """Read the values of a repeated ``NAME=VALUE`` option; the last value of a name wins.

    Raises:
        click.BadParameter: a value is not such a pair.
    """
    found: dict[str, str] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise click.BadParameter(f"{text!r}: write it as {option.metavar}")
        found[name] = value
    return found


_STRATEGY = click.option(
    "--strategy", metavar="NAME[,NAME]", help="Strategies to use, the outer one first."
)
_EXECUTOR = click.option(
    "--executor", metavar="NAME", help="Executor to use: in-process, celery, arq, …"
)


def settings_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add ``--config`` and ``--set``, given as ``config`` and ``assignments``."""
    config = click.option(
        "--config",
        metavar="FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Settings file, instead of ./paceline.toml.",
    )
    assignments = click.option(
        "--set",
        "assignments",
        metavar="KEY=VALUE",
        multiple=True,
        help="Change one setting, for example store.pool_size=5. Repeatable.",
    )
    return config(assignments(command))


def app_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add all options that choose settings, for commands that work on runs.

    The command receives an ``App`` as ``app`` instead.
    """
    return store_options(_STRATEGY(_EXECUTOR(command)))


def executor_options(command: Callable[..., R]) -> Callable[..., R]:
    """The same without ``--strategy``, for commands that queue runs."""
    return store_options(_EXECUTOR(command))


def store_options(command: Callable[..., R]) -> Callable[..., R]:
    """The same without ``--strategy`` and ``--executor``, for commands that read the store."""

    @settings_options
    @click.option(
        "--log-format",
        type=click.Choice(["plain", "json"]),
        help="Format of the lines on stderr; json adds the ids of run and concept.",
    )
    @wraps(command)
    def with_app(
        *args: Any,
        config: Path | None,
        assignments: tuple[str, ...],
        log_format: str | None,
        strategy: str | None = None,
        executor: str | None = None,
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
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def run_async(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine; Ctrl-C cancels it and ends the process with exit code 130."""
    return asyncio.run(coroutine)
