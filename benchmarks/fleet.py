"""Four worker processes of one setting, over servers and a simulated provider of their own."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from paceline.client.client import Client
from paceline.client.terminal.local_workers import local_workers
from paceline.plugins.registry import Plugins
from paceline.runtime.parts import open_executor, open_store
from paceline.settings.load import Loaded, Value, load_settings
from paceline_adapters.bench.environments import Environment, Provider

WORKERS = 4


def settings_of(given: Mapping[str, str], place: Environment, llm: Provider, plugins: Plugins) -> Loaded:
    """Settings as of flags, and nothing else that lies about."""
    all_given = {
        "provider.base_url": llm.base_url,
        "provider.api_key": "sk-benchmark",
        "provider.model": "gpt-4o-mini",
        "store.url": place.store_url,
        "redis.url": place.redis_url or "",
        **given,
    }
    flags = [
        Value(tuple(key.split(".")), value, f"--set {key}") for key, value in all_given.items()
    ]
    return load_settings(plugins, flags=flags, environ={})


@asynccontextmanager
async def working(loaded: Loaded, plugins: Plugins) -> AsyncGenerator[Client]:
    """The workers, and the service to submit to them."""
    async with (
        open_store(loaded.settings, plugins) as store,
        open_executor(loaded.settings, plugins) as executor,
        local_workers(loaded, WORKERS),
    ):
        yield Client(loaded.settings, store, executor)
