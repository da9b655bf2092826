"""The front door: everything that opens paceline's parts goes through ``App``."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from paceline.client.client import Client
from paceline.contracts.admission.strategy import Strategy
from paceline.contracts.events import EventBus
from paceline.contracts.executor import Executor
from paceline.contracts.provider import Provider
from paceline.contracts.storage.records import WorkerRecord
from paceline.contracts.storage.store import Store
from paceline.contracts.worker import Reservation
from paceline.delivery.couriers import FLUSH
from paceline.plugins.registry import Plugins
from paceline.roadmaps.model import Roadmap
from paceline.runtime.part_factory import PartFactory, ReadyParts
from paceline.settings.load import Loaded, Value, load_settings
from paceline.settings.model import Settings
from paceline.settings.paths import path_of

if TYPE_CHECKING:
    from paceline.planning.forecast import Forecast, Progress
    from paceline.runtime.worker import Worker


class App:
    """Settings and plugins, ready to open clients and workers.

    An ``App`` opens nothing by itself and can be shared by threads and event loops.

    Args:
        settings: the effective settings; defaults if ``None``.
        plugins: the plugins of this process, or plugins (modules or objects with hook
            implementations) to register beside the installed ones.
        store: an opened store to use in place of the one that the settings name.
        provider: a provider to use likewise.
        bus: an event bus to use likewise.
        strategies: strategies with their names, outer first, to use likewise.

    The caller opens and closes the parts that it passes.

    Raises:
        PluginError: a plugin misuses a hook or offers a name that is taken.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        plugins: Plugins | Iterable[object] = (),
        store: Store | None = None,
        provider: Provider | None = None,
        bus: EventBus | None = None,
        strategies: Sequence[tuple[str, Strategy]] | None = None,
    ) -> None:
        self.plugins = _registry(plugins)
        self.loaded = Loaded(settings or Settings(), origins={}, given=())
        ready = ReadyParts(store=store, provider=provider, bus=bus, strategies=strategies)
        self.factory = PartFactory(self.loaded.settings, self.plugins, self, ready)

    @classmethod
    def load(
        cls,
        config: str | Path | None = None,
        overrides: Mapping[str, object] | Sequence[Value] = (),
        *,
        environ: Mapping[str, str] | None = None,
        plugins: Plugins | Iterable[object] = (),
    ) -> "App":
        """Load the settings: overrides before environment before file before defaults.

        Args:
            config: settings file, instead of ``paceline.toml`` or ``pyproject.toml`` of the
                working directory.
            overrides: values by dotted key, for example ``{"store.pool_size": 5}``. A part with
                dots is quoted, as in TOML.
            environ: environment variables, instead of those of the process.
            plugins: as for ``App``.

        Raises:
            SettingsError: a key or value is wrong; the text names its place and what is allowed.
        """
        if isinstance(overrides, Mapping):
            overrides = [
                Value(path_of(key), value, f"override {key}") for key, value in overrides.items()
            ]
        registry = _registry(plugins)
        path = None if config is None else Path(config)
        loaded = load_settings(registry, config=path, flags=overrides, environ=environ)
        app = cls(loaded.settings, plugins=registry)
        app.loaded = loaded
        return app

    @property
    def settings(self) -> Settings:
        """The effective settings."""
        return self.loaded.settings

    @asynccontextmanager
    async def client(self, *, work: bool = False, create: bool = True) -> AsyncGenerator[Client]:
        """Open a client: submit, steer, follow and read runs.

        Args:
            work: also work on queued runs in this process, if the executor works in-process.
                Runs of a distributed executor need workers of their own.
            create: create the database if it does not exist. Clients that only read or steer
                runs need not. A client that works always creates it.

        Raises:
            BudgetError: the database has too few free connections for a worker.
            DatabaseNotFound: the database does not exist, and ``create`` is false.
            PartUnavailable: the store cannot be reached.
        """
        if work and not self.factory.executor().distributed:
            async with self.worker() as worker:
                serving = asyncio.get_running_loop().create_task(worker.serve())
                try:
                    yield Client(worker.parts, worker_id=worker.record.worker_id)
                finally:
                    await worker.drain(0)
                    await serving
                await worker.couriers.flush(FLUSH)
            return
        async with self.factory.open_client_parts(create=create) as parts:
            yield Client(parts)

    @asynccontextmanager
    async def worker(
        self,
        *,
        concurrency: int | None = None,
        record: WorkerRecord | None = None,
        pool_limit: int | None = None,
    ) -> "AsyncGenerator[Worker]":
        """Open a worker: it registers, reserves connections and beats.

        It is drained and deregistered at the end. ``await worker.serve()`` works on queued
        runs.

        Args:
            concurrency: maximum number of runs at once; the executor's setting if ``None``.
            record: a record from ``reserve``.
            pool_limit: the reservation's connections.

        Raises:
            BudgetError: the database has too few free connections.
            PartUnavailable: a part cannot be reached.
        """
        # Commands that only read need no worker.
        from paceline.runtime.open_worker import open_worker, release

        if record is None:
            concurrency = concurrency or self.factory.executor().concurrency
            reservation = await self.reserve(concurrency=concurrency)
            (record,), pool_limit = reservation.records, reservation.pool_limit
        opened = False
        try:
            async with open_worker(self.factory, record, pool_limit=pool_limit) as worker:
                opened = True
                yield worker
        except BaseException:
            if not opened:  # the start failed or was stopped after the reservation
                await release(self.factory, [record])
            raise

    def serve(self, *, concurrency: int | None = None) -> int:
        """Be a worker until a signal stops it, as ``paceline worker``; returns the exit code.

        ``concurrency`` is the maximum number of runs at once; the executor's setting if ``None``.
        """
        return self.factory.executor().serve(concurrency=concurrency)

    async def reserve(self, *, concurrency: int, processes: int = 1) -> Reservation:
        """Register worker processes and reserve their connections, before they start.

        Args:
            concurrency: maximum number of runs at once in each process.
            processes: number of processes.

        Raises:
            BudgetError: the database has too few free connections.
            PartUnavailable: the database cannot be reached.
        """
        from paceline.runtime.open_worker import reserve

        return await reserve(self.factory, concurrency=concurrency, processes=processes)

    async def plan(
        self,
        roadmaps: Sequence[Roadmap],
        *,
        workers: int = 1,
        workload: Path | None = None,
        provider_model: Path | None = None,
        from_runs: bool = False,
        seed: int = 0,
        draws: int | None = None,
        progress: "Progress | None" = None,
    ) -> "Forecast":
        """Forecast what a run of these roadmaps takes with these settings; nothing is started.

        Args:
            roadmaps: the roadmaps; what exists of them already counts as missing.
            workers: number of worker processes, if the executor is distributed.
            workload: file with latencies and quotas, in the format of ``paceline bench``.
            provider_model: file that describes the provider.
            from_runs: take latencies, tokens and attempts from past runs in the store.
            seed: the same seed gives the same forecast.
            draws: number of draws; by default as many as the number of concepts allows.
            progress: called from another thread with the draws that are done and their number.

        Raises:
            PartUnavailable: the store with the past runs cannot be reached.
            PluginError: a strategy does not work in virtual time.
            SettingsError: a file or setting is wrong.
        """
        from paceline.planning.forecast import no_progress
        from paceline.planning.plan import Planner, inputs_of
        from paceline.planning.workload_file import WorkloadFile

        inputs = await inputs_of(
            self.factory,
            workload=None if workload is None else WorkloadFile.read(workload),
            provider_model=provider_model,
            from_runs=from_runs,
        )
        planner = Planner(
            factory=self.factory,
            roadmaps=roadmaps,
            inputs=inputs,
            workers=workers,
            seed=seed,
            draws=draws,
        )
        return await planner.forecast(progress or no_progress)

    def open_executor(self) -> AbstractAsyncContextManager[Executor]:
        """Open the executor as a client; it is closed at the end."""
        return self.factory.open_executor()

    async def try_parts(self) -> None:
        """Make every part once and close it, to find a wrong setting before workers start.

        Raises:
            PacelineError: a part cannot be made or reached.
        """
        async with self.factory.open_parts(pool_limit=1) as parts:
            couriers = self.factory.couriers(parts.store, self.factory.context(), parts.gauges)
            await couriers.stop(0)


def _registry(plugins: Plugins | Iterable[object]) -> Plugins:
    if isinstance(plugins, Plugins):
        return plugins
    registry = Plugins()
    for plugin in plugins:
        name = getattr(plugin, "__name__", type(plugin).__name__)
        registry.register(plugin, name)
    return registry
