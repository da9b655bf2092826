"""Registers the command ``paceline bench``."""

import click
from paceline import RegisterCommand, hookimpl


def _load() -> click.Command:
    from paceline_adapters.bench.command import bench

    return bench


@hookimpl
def paceline_register_commands(register: RegisterCommand) -> None:
    """Register it."""
    register("bench", _load, summary="Compare strategies, executors and stores on your workload.")
