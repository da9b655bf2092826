"""Offers the command ``paceline demo``."""

import click
from paceline import RegisterCommand, hookimpl


def _load() -> click.Command:
    from paceline_adapters.demo.command import demo

    return demo


@hookimpl
def paceline_register_commands(register: RegisterCommand) -> None:
    """Offer it."""
    register(
        "demo",
        _load,
        summary="Watch eight roadmaps being generated, with no server and no key.",
    )
