"""Registers the command ``paceline serve``."""

import click
from paceline import RegisterCommand, hookimpl


def _load() -> click.Command:
    from paceline_adapters.web.command import serve

    return serve


@hookimpl
def paceline_register_commands(register: RegisterCommand) -> None:
    """Register the command."""
    register(
        "serve",
        _load,
        summary="Serve the HTTP API, live progress and the page, and work on queued runs.",
    )
