"""Offers the ledger, event bus and store that live in one process."""

from paceline import Context, EventBus, Ledger, NoOptions, Register, Store, hookimpl


@hookimpl
def paceline_register_ledgers(register: Register[Ledger]) -> None:
    """Offer the ledger of one process."""
    register(
        "memory",
        _ledger,
        options=NoOptions,
        summary="Limits of one process. Used if redis.url is not set.",
    )


@hookimpl
def paceline_register_event_buses(register: Register[EventBus]) -> None:
    """Offer the event bus of one process."""
    register(
        "memory",
        _bus,
        options=NoOptions,
        summary="Events within one process. Other processes follow runs by polling the store.",
    )


@hookimpl
def paceline_register_stores(register: Register[Store]) -> None:
    """Offer the store of one process."""
    register(
        "memory",
        _store,
        options=NoOptions,
        summary="Keeps runs in this process and loses them when it ends: for tests.",
    )


def _ledger(_: NoOptions, context: Context) -> Ledger:
    from paceline_adapters.memory.ledger import MemoryLedger

    return MemoryLedger(lease_seconds=context.settings.run.lease)


def _bus(_: NoOptions, context: Context) -> EventBus:
    from paceline_adapters.memory.bus import MemoryBus

    events = context.settings.events
    return MemoryBus(max_length=events.max_length, keep=events.keep)


def _store(_: NoOptions, __: Context) -> Store:
    from paceline_adapters.memory.store import MemoryStore

    return MemoryStore()
