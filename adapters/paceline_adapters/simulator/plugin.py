"""Registers the command ``paceline simulator``."""

import click
from paceline import RegisterCommand, hookimpl


def _load() -> click.Command:
    from paceline_adapters.simulator.command import simulator

    return simulator


@hookimpl
def paceline_register_commands(register: RegisterCommand) -> None:
    """Register it."""
    register("simulator", _load, summary="Run a simulated LLM provider.")
