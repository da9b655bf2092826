"""Registers the ledger and the event bus that all workers share."""

from paceline import (
    Context,
    EventBus,
    Ledger,
    NoOptions,
    RedisSettings,
    Register,
    SettingsError,
    hookimpl,
)


@hookimpl
def paceline_register_ledgers(register: Register[Ledger]) -> None:
    """Register the ledger."""
    register(
        "redis",
        _ledger,
        options=NoOptions,
        summary="Limits over all workers. Used by default if redis.url is set.",
    )


@hookimpl
def paceline_register_event_buses(register: Register[EventBus]) -> None:
    """Register the event bus."""
    register(
        "redis",
        _bus,
        options=NoOptions,
        summary="Events across processes. Redis Streams retain them for reconnecting clients.",
    )


def _ledger(_: NoOptions, context: Context) -> Ledger:
    from paceline_adapters.redis.connection import Link
    from paceline_adapters.redis.ledger import RedisLedger

    redis = _with_url(context.settings.redis)
    link = Link(redis, connections=redis.max_connections // 2)
    return RedisLedger(link, prefix=redis.prefix, lease_seconds=context.settings.run.lease)


def _bus(_: NoOptions, context: Context) -> EventBus:
    from paceline_adapters.redis.bus import RedisBus
    from paceline_adapters.redis.connection import Link

    redis, events = _with_url(context.settings.redis), context.settings.events
    link = Link(redis, connections=redis.max_connections - redis.max_connections // 2)
    return RedisBus(link, prefix=redis.prefix, max_length=events.max_length, keep=events.keep)


def _with_url(redis: RedisSettings) -> RedisSettings:
    if redis.url is None:
        raise SettingsError(
            "redis.url is not set: set it to the address of Redis, such as redis://host:6379/0"
        )
    return redis
