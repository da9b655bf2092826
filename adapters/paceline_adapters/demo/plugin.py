"""Offers the command ``paceline demo``."""

import click
from paceline import RegisterCommand, hookimpl


def _load() -> click.Command:
    from paceline_adapters.demo.command import demo

    return demo


@hookimpl
def paceline_register_commands(register: RegisterCommand) -> None:
    """Offer the command."""
    register("demo", _load, summary="Watch eight roadmaps being generated, without server or key.")
