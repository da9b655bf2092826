"""What the routes work with: a client, and a worker if this process works on runs."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

from paceline import App, Client, EventBus, Store, Worker
from paceline.client.render import Reader
from paceline.live.hub import Hub
from paceline.planning.estimator import Estimator
from paceline.tasks import cancel_and_wait

from paceline_adapters.web.concept_names import ConceptNames
from paceline_adapters.web.live_figures import LiveFigures
from paceline_adapters.web.metrics import Metrics
from paceline_adapters.web.rate_limit import RateLimit


class Backend:
    """Paceline's parts for a web application, as an asynchronous context manager.

    Args:
        app: the settings and plugins.
        work: also work on queued runs in this process, if the executor works in-process.

    Attributes:
        app: the settings and plugins.
        settings: the effective settings.
        client: submits, steers and reads runs.
        store: the store of the runs.
        bus: the bus of their events.
        hub: reads the progress of runs for all clients.
        figures: both layers, now and over the last minutes.
        estimator: estimates when runs end.
        names: names of concepts.
        reader: renders artifacts.
        metrics: counts the requests and streams of all routers of this backend.
        rate_limit: limits the requests and streams of all routers of this backend.
        worker: the worker of this process, if it works on runs.
        working: the task in which that worker serves; it ends when the worker drains.
    """

    client: Client
    store: Store
    bus: EventBus
    hub: Hub
    figures: LiveFigures
    estimator: Estimator
    names: ConceptNames
    worker: Worker | None
    working: "asyncio.Task[None] | None"

    def __init__(self, app: App, *, work: bool = True) -> None:
        self.app = app
        self.settings = app.settings
        self.reader = Reader(app.factory)
        self.metrics = Metrics(app.settings.provider.currency)
        self.rate_limit = RateLimit(app.settings.web)
        self.worker = None
        self.working = None
        self._work = work and not app.factory.executor().distributed
        self._stack = AsyncExitStack()
        self._open = False
        self._sampling: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether the parts are open and the worker, if there is one, accepts runs."""
        return self._open and not (self.worker is not None and self.worker.draining)

    async def __aenter__(self) -> "Backend":
        """Open the parts.

        Raises:
            BudgetError: the database has too few free connections for a worker.
            PartUnavailable: a part cannot be reached.
            SettingsError: an option of a part is wrong.
        """
        try:
            self.client = await self._open_client()
            # Counters start here, so that they miss nothing from now on.
            self.metrics.workers_read(await self.client.store.workers())
        except BaseException:
            await self._stack.aclose()
            raise
        self.store, self.bus = self.client.store, self.client.bus
        self.names = ConceptNames(self.store)
        self.hub = Hub(self.store, self.bus, kept=self.settings.events.max_length)
        self.figures = LiveFigures(self.store, self.worker, self.metrics)
        self.estimator = Estimator(self.app.factory, self.store)
        self._sampling = asyncio.get_running_loop().create_task(self.figures.sample_forever())
        self._open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open = False
        await self.drain()
        await self.hub.close()
        if self._sampling is not None:
            await cancel_and_wait(self._sampling)
        await self.estimator.close()
        await self._stack.aclose()

    async def drain(self) -> None:
        """Accept no more runs; wait up to ``run.grace`` seconds for calls in flight."""
        if self.worker is not None:
            await self.worker.drain(self.settings.run.grace)

    async def _open_client(self) -> Client:
        if not self._work:
            return await self._stack.enter_async_context(self.app.client())
        worker = await self._stack.enter_async_context(self.app.worker())
        self.worker = worker
        self.working = asyncio.get_running_loop().create_task(worker.serve())
        self._stack.push_async_callback(_until_served, self.working)
        return Client(worker.parts, worker_id=worker.record.worker_id)

    def part_names(self) -> Mapping[str, str]:
        """The name of each part, by kind."""
        settings = self.settings
        return {
            "strategy": ",".join(settings.strategy),
            "executor": settings.executor,
            "store": settings.store_kind,
            "event_bus": settings.bus_kind,
            "provider": settings.provider.name,
        }


async def _until_served(serving: "asyncio.Task[None]") -> None:
    """Wait until the worker has drained."""
    await asyncio.wait({serving})
    if not serving.cancelled():
        serving.result()
