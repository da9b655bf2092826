"""``--tenant`` and ``--weight``: whose the runs of a command are."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click

from paceline.client.terminal import note
from paceline.contracts.records import Run
from paceline.contracts.share import EQUAL, Share

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


def note_kept(run: Run, share: Share) -> None:
    """Say so where a run that was there already keeps another share than was asked for."""
    if share not in (EQUAL, run.share):
        kept = str(run.share) or "no tenant, weight 1"
        note(f"{run.title}: run {run.run_id} keeps what it was submitted with: {kept}")
