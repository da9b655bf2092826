"""``--tenant`` and ``--weight``: whose the runs of a command are."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click

from paceline.contracts.share import Share

P = ParamSpec("P")
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
        help="Whose the runs are; the runs of a tenant share its weight.",
    )
    weight = click.option(
        "--weight",
        type=float,
        default=1.0,
        show_default=True,
        help="Share of a quota in proportion to others', 0.01 to 100.",
    )
    return tenant(weight(with_share))
