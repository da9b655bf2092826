"""The options for the context and scope of runs: ``--context``, ``--steps`` and their like."""

import functools
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, cast

import click

from paceline.client.run_request import RunRequest
from paceline.contracts.run_context import PLACE, checked_context
from paceline.contracts.scope import FORMS
from paceline.errors import ContextError, RoadmapError, UsageError
from paceline.settings.load import TOML_BEGINS

R = TypeVar("R")

#: Maximum size of a file with a context, comments included.
_MAX_FILE = 2**20
_SET = "--set-context"


def request_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add the options of ``RunRequest``, given as ``request``."""

    @functools.wraps(command)
    def with_request(
        *args: object,
        context: Path | None,
        context_values: tuple[str, ...],
        steps: str | None,
        only: tuple[str, ...],
        adopt: bool,
        budget: float | None,
        **options: object,
    ) -> R:
        request = RunRequest(
            context=read_context(context, context_values),
            steps=step_names(steps),
            only=only,
            adopt=adopt,
            budget=budget,
        )
        return command(*args, request=request, **options)

    file = click.option(
        "--context",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="JSON or YAML file with the context of the runs, such as a learner's profile.",
    )
    values = click.option(
        _SET,
        "context_values",
        metavar="KEY=VALUE",
        multiple=True,
        help="One value of the context, e.g. learner.level=beginner. Repeatable.",
    )
    adopting = click.option(
        "--adopt",
        is_flag=True,
        help="If a roadmap has changed, start a new run that takes over unchanged content.",
    )
    return file(values(scope_options(budget_option(adopting(with_request)))))


def budget_option(command: Callable[..., R]) -> Callable[..., R]:
    """Add ``--budget`` as a number or ``None``."""
    return click.option(
        "--budget",
        metavar="AMOUNT",
        type=float,
        help="What each run may cost, in the currency of the prices; then it is paused.",
    )(command)


def scope_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add ``--steps`` as text or ``None``, and ``--only`` as a tuple of selectors."""
    steps = click.option(
        "--steps", metavar="NAME[,NAME]", help="Make only these steps of the settings."
    )
    only = click.option(
        "--only",
        metavar="PART",
        multiple=True,
        help=f"Generate only a part of the roadmap: {FORMS}. Repeatable.",
    )
    return steps(only(command))


def step_names(text: str | None) -> tuple[str, ...] | None:
    """The names of ``--steps``."""
    if text is None:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip())


def read_context(file: Path | None, assignments: Sequence[str]) -> dict[str, object] | None:
    """The context of a file with the values of ``--set-context``; ``None`` without either.

    Raises:
        ContextError: the file is not valid, or the context is not.
        UsageError: the file cannot be read, or a value is not an assignment.
    """
    if file is None and not assignments:
        return None
    context: dict[str, object] = {} if file is None else _read_file(file)
    for text in assignments:
        _assign(context, text)
    return checked_context(context)


def _read_file(path: Path) -> dict[str, object]:
    from paceline.roadmaps.decoding import decode

    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(raw) > _MAX_FILE:
        raise ContextError([f"{path}: the file must not be larger than {_MAX_FILE // 2**20} MiB"])
    try:
        found = decode(raw, yaml_allowed=path.suffix.lower() != ".json", source=str(path))
        return checked_context(found)
    except (RoadmapError, ContextError) as error:
        raise ContextError([f"{path}: {fault}" for fault in error.faults]) from None


def _assign(context: dict[str, object], text: str) -> None:
    key, equals, raw = text.partition("=")
    path = [part.strip() for part in key.split(".")]
    if not equals or not all(path):
        raise UsageError(f"{_SET} must be KEY=VALUE, for example level=beginner, got {text!r}")
    table = context
    for at, part in enumerate(path[:-1], 1):
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            place = ".".join([PLACE, *path[:at]])
            raise UsageError(f"{_SET} {key}: {place} must be an object, got {inner!r}")
        table = cast("dict[str, object]", inner)
    table[path[-1]] = _value(key, raw)


def _value(key: str, raw: str) -> object:
    """A value as TOML has it: a number, a truth value, a list; any other text is itself."""
    try:
        found = tomllib.loads(f"value = {raw}")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        if raw[:1] not in TOML_BEGINS:
            return raw
        raise UsageError(f"{_SET} {key}: {raw!r} is not valid TOML: {error}") from None
    # Several lines, or a comment, are text and not one value.
    plain = len(found) == 1 and (raw[:1] in TOML_BEGINS or "#" not in raw)
    return found["value"] if plain else raw
