"""The options ``--tenant``, ``--weight`` and ``--priority``."""

import functools
from collections.abc import Callable
from typing import TypeVar, cast

import click

from paceline.contracts.share import Priority, Share

R = TypeVar("R")


def share_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add ``--tenant``, ``--weight`` and ``--priority``, given as ``share``."""

    @functools.wraps(command)
    def with_share(
        *args: object, tenant: str, weight: float, priority: str, **options: object
    ) -> R:
        share = Share(tenant, weight, cast("Priority", priority))
        return command(*args, share=share, **options)

    tenant = click.option(
        "--tenant",
        metavar="NAME",
        default="",
        help="Tenant that owns the runs; its runs share one weight.",
    )
    weight = click.option(
        "--weight",
        metavar="NUMBER",
        type=float,
        default=1.0,
        show_default=True,
        help="Scheduling weight relative to other runs, 0.01 to 100.",
    )
    priority = click.option(
        "--priority",
        type=click.Choice(["high", "normal", "low"]),
        default="normal",
        show_default=True,
        help="How urgent the runs are, among the runs of their tenant.",
    )
    return tenant(weight(priority(with_share)))
