"""The options of commands that pause or resume more than single runs."""

from collections.abc import Callable
from typing import TypeVar

import click

from paceline.contracts.controls import PauseTarget
from paceline.errors import UsageError

R = TypeVar("R")


def target_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add ``--everything``, ``--tenant``, ``--key`` and ``--by``."""
    for option in (
        click.option("--by", metavar="NAME", help="Your name in the audit log."),
        click.option(
            "--key",
            "keys",
            metavar="KEY",
            multiple=True,
            help="Calls of a model or resource: openai:gpt-4o, resource:tavily. Repeatable.",
        ),
        click.option(
            "--tenant", "tenants", metavar="NAME", multiple=True, help="A tenant. Repeatable."
        ),
        click.option("--everything", is_flag=True, help="All work of all workers."),
    ):
        command = option(command)
    return command


def targets_of(
    *, everything: bool, tenants: tuple[str, ...], keys: tuple[str, ...], runs: tuple[str, ...]
) -> list[PauseTarget]:
    """The targets that options name.

    Raises:
        UsageError: a target is not allowed, is combined with runs, or nothing is named at all.
    """
    targets = [PauseTarget("everything")] if everything else []
    targets += [PauseTarget("tenant", name) for name in tenants]
    targets += [PauseTarget("key", name) for name in keys]
    if targets and runs:
        raise UsageError("name either runs, or targets such as --tenant, but not both")
    if not targets and not runs:
        raise UsageError("name runs, or a target: --everything, --tenant or --key")
    return targets
