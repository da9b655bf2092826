"""The options ``--tenant`` and ``--weight``."""

import functools
from collections.abc import Callable
from typing import TypeVar

import click

from paceline.contracts.share import Share

R = TypeVar("R")


def share_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add ``--tenant`` and ``--weight``, given as ``share``."""

    @functools.wraps(command)
    def with_share(*args: object, tenant: str, weight: float, **options: object) -> R:
        return command(*args, share=Share(tenant, weight), **options)

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
    return tenant(weight(with_share))
