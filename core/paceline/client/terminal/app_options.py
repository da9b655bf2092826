"""The options that choose settings, and how commands run."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from paceline.client.terminal.output import log_as_json, warn
from paceline.process.stoppable import run_stoppable

if TYPE_CHECKING:
    from paceline.app import App

R = TypeVar("R")


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
        help="One setting, e.g. store.pool_size=5. Repeatable.",
    )
    return config(assignments(command))


def load_app(
    config: Path | None,
    assignments: Sequence[str],
    options: Mapping[str, str | None],
    *,
    fixed: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> "App":
    """Load the settings as the options of a command say.

    ``options`` are the values of further options by name, ``None`` if not given. ``fixed`` are
    values by dotted key that the command sets itself. ``environ`` replaces the environment
    variables of the process.

    Raises:
        SettingsError: a key or value is wrong.
    """
    from paceline.app import App
    from paceline.settings.load import Value, parse_assignment
    from paceline.settings.paths import path_of

    values = [parse_assignment(text) for text in assignments]
    values += [
        Value(tuple(name.split("-")), value, f"--{name}")
        for name, value in options.items()
        if value is not None
    ]
    values += [Value(path_of(key), value, "this command") for key, value in (fixed or {}).items()]
    return App.load(config, values, environ=environ)


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
        help="Format of stderr; json adds ids of run and concept.",
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
        overrides = {"strategy": strategy, "executor": executor, "log-format": log_format}
        app = load_app(config, assignments, overrides)
        if app.settings.log.format == "json":
            log_as_json(app.settings)
        for ignored in app.loaded.ignored:
            warn(ignored)
        for broken in app.plugins.broken:
            warn(f"plugin {broken.name} could not be loaded: {broken.reason}")
        return command(*args, app=app, **kwargs)

    return with_app


def json_option(command: Callable[..., R]) -> Callable[..., R]:
    """Add ``--json``, given as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def run_async(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine; Ctrl-C cancels it and ends the process with exit code 130."""
    return run_stoppable(coroutine)
