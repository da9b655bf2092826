"""Offers the stores ``sqlite`` and ``postgresql``, and the command ``paceline db``."""

import click
from paceline import Context, NoOptions, Register, RegisterCommand, Store, hookimpl


def _store(_options: NoOptions, context: Context) -> Store:
    from paceline_adapters.sql.store import SqlStore

    return SqlStore(context)


@hookimpl
def paceline_register_stores(register: Register[Store]) -> None:
    """Offer both databases; one class serves them."""
    register(
        "sqlite",
        _store,
        options=NoOptions,
        summary="One file, no server: for one machine and up to a few workers.",
    )
    register(
        "postgresql",
        _store,
        options=NoOptions,
        summary="A server: for production, and for workers on several machines.",
    )


def _command() -> click.Command:
    from paceline_adapters.sql.command import db

    return db


@hookimpl
def paceline_register_commands(register: RegisterCommand) -> None:
    """Offer ``paceline db``."""
    register("db", _command, summary="Create or upgrade the database's schema.")
