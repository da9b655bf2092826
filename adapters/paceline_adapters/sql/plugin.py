"""Offers the stores ``sqlite`` and ``postgresql``."""

from paceline import Context, NoOptions, Register, Store, hookimpl


def _store(_options: NoOptions, context: Context) -> Store:
    from paceline_adapters.sql.store import SqlStore

    return SqlStore(context)


@hookimpl
def paceline_register_stores(register: Register[Store]) -> None:
    """Offer both databases, which share one class."""
    register(
        "sqlite",
        _store,
        options=NoOptions,
        summary="One file, no server: for one machine and a few workers.",
    )
    register(
        "postgresql",
        _store,
        options=NoOptions,
        summary="A server: for production, and for workers on several machines.",
    )
