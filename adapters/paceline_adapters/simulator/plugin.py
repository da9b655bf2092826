"""Offers the command ``paceline simulator``."""

import click
from paceline import RegisterCommand, hookimpl


def _load() -> click.Command:
    from paceline_adapters.simulator.command import simulator

    return simulator


@hookimpl
def paceline_register_commands(register: RegisterCommand) -> None:
    """Offer it."""
    register(
        "simulator",
        _load,
        summary="Serve an OpenAI-compatible API that makes its answers up.",
    )
