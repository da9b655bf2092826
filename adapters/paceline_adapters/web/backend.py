"""What the routes work with: paceline's parts on one event loop, a worker among them or not."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack

from paceline import EventBus, Executor, Settings, Store, Telemetry
from paceline.client.client import Client
from paceline.client.render import Reader
from paceline.live.hub import Hub
from paceline.plugins.registry import Plugins
from paceline.runtime.open_worker import open_worker, reserve_connections, worker_records
from paceline.runtime.parts import (
    make_executor,
    open_bus,
    open_executor,
    open_store,
    open_telemetry,
)
from paceline.runtime.worker import Worker
from paceline.tasks import cancel_and_wait

from paceline_adapters.web.figures import Figures
from paceline_adapters.web.names import Names

log = logging.getLogger("paceline.web")


class Backend:
    """Paceline's parts, opened: an asynchronous context manager.

    Args:
        settings: the effective settings.
        plugins: where parts come from; those installed when not given.
        work: whether to work on runs here, where the executor lets the process that asks do it.

    Attributes:
        settings: the effective settings.
        plugins: where parts come from.
        store: where runs stand.
        bus: who tells of them.
        executor: where they are handed to.
        service: submits and steers them.
        hub: who reads their progress.
        figures: both layers, now and over the last minutes.
        names: what concepts are called.
        reader: artifacts fit to be read.
        worker: the worker of this process, where it works on runs.
        working: what hands it runs; ends when it drains.
    """

    store: Store
    bus: EventBus
    executor: Executor
    service: Client
    hub: Hub
    figures: Figures
    names: Names
    worker: Worker | None
    working: "asyncio.Task[None] | None"

    def __init__(
        self, settings: Settings, plugins: Plugins | None = None, *, work: bool = True
    ) -> None:
        self.settings = settings
        self.plugins = plugins or Plugins()
        self.reader = Reader(settings, self.plugins)
        self.worker = None
        self.working = None
        self._work = work and not make_executor(settings, self.plugins).distributed
        self._stack = AsyncExitStack()
        self._open = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def ready(self) -> bool:
        """Whether it is open, and takes work if it works."""
        return self._open and not (self.worker is not None and self.worker.draining)

    async def __aenter__(self) -> "Backend":
        """Open the parts.

        Raises:
            PartUnavailable: the store cannot be reached.
            SettingsError: options are wrong.
        """
        try:
            telemetry = await self._parts()
        except BaseException:
            await self._stack.aclose()
            raise
        self.service = Client(self.settings, self.store, self.executor, telemetry)
        self.names = Names(self.store)
        self.hub = Hub(self.store, self.bus, kept=self.settings.events.max_length)
        self.figures = Figures(self.store, self.worker)
        self._tasks.append(asyncio.get_running_loop().create_task(self.figures.gather_for_ever()))
        self._open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open = False
        await self.drain()
        await self.hub.close()
        await cancel_and_wait(*self._tasks)
        await self._stack.aclose()

    async def drain(self) -> None:
        """Take no more runs; let calls in flight end within ``run.grace`` seconds."""
        if self.worker is not None:
            await self.worker.drain(self.settings.run.grace)

    async def _parts(self) -> Telemetry:
        """Open them; returns who hears of what is done with them."""
        settings, plugins, stack = self.settings, self.plugins, self._stack
        if not self._work:
            self.store = await stack.enter_async_context(open_store(settings, plugins))
            self.executor = await stack.enter_async_context(open_executor(settings, plugins))
            self.bus = await stack.enter_async_context(open_bus(settings, plugins))
            return await stack.enter_async_context(open_telemetry(settings, plugins))
        name = settings.executor
        concurrency = make_executor(settings, plugins).concurrency
        records = worker_records(settings, executor=name, concurrency=concurrency)
        limit, warning = await reserve_connections(settings, plugins, records)
        if warning:
            log.warning(warning)
        worker = await stack.enter_async_context(
            open_worker(settings, plugins, records[0], pool_limit=limit)
        )
        self.worker = worker
        parts = worker.parts
        self.store, self.bus, self.executor = parts.store, parts.bus, parts.executor
        self.working = asyncio.get_running_loop().create_task(worker.serve(name))
        stack.push_async_callback(_served, self.working)
        return parts.telemetry

    def parts(self) -> Mapping[str, str]:
        """What it is made of, by kind."""
        settings = self.settings
        return {
            "strategy": ",".join(settings.strategy),
            "executor": settings.executor,
            "store": settings.store_kind,
            "event_bus": settings.bus_kind,
            "provider": settings.provider.name,
        }


async def _served(serving: "asyncio.Task[None]") -> None:
    """A worker that drains serves no more."""
    await asyncio.wait({serving})
    if not serving.cancelled():
        serving.result()
