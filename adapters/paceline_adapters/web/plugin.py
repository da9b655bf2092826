"""Offers the command ``paceline serve``."""

import click
from paceline import RegisterCommand, hookimpl


def _load() -> click.Command:
    from paceline_adapters.web.command import serve

    return serve


@hookimpl
def paceline_register_commands(register: RegisterCommand) -> None:
    """Offer it."""
    register(
        "serve",
        _load,
        summary="Serve an HTTP API, live progress and a page to watch, and work on runs.",
    )
