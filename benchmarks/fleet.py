"""Worker processes with one configuration, on their own servers and simulated provider."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from paceline import App
from paceline.client.client import Client
from paceline.client.terminal.local_workers import local_workers
from paceline_adapters.bench.environments import Environment, SimulatedProvider

WORKERS = 4


@asynccontextmanager
async def open_fleet(
    overrides: Mapping[str, str], environment: Environment, llm: SimulatedProvider
) -> AsyncGenerator[Client]:
    """Start the workers with these settings only; yields a client to submit runs."""
    app = App.load(
        overrides={
            "provider.base_url": llm.base_url,
            "provider.api_key": "sk-benchmark",
            "provider.model": "gpt-4o-mini",
            "store.url": environment.store_url,
            "redis.url": environment.redis_url or "",
            **overrides,
        },
        environ={},
    )
    async with app.client() as client, local_workers(app.loaded, WORKERS):
        yield client
