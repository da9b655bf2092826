"""Offers the command ``paceline bench``."""

import click
from paceline import RegisterCommand, hookimpl


def _load() -> click.Command:
    from paceline_adapters.bench.command import bench

    return bench


@hookimpl
def paceline_register_commands(register: RegisterCommand) -> None:
    """Offer it."""
    register(
        "bench",
        _load,
        summary="Measure strategies, executors and stores against each other, on your work.",
    )
