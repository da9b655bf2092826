"""Forecasts for an app: what it would take, with its settings or with others."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from paceline.contracts.provider import Provider
from paceline.planning.alternatives import Alternative, Choice
from paceline.planning.forecast import Forecast, Progress, draws_for, forecast, no_progress
from paceline.planning.inputs import Inputs, given, recorded
from paceline.planning.virtual.draw import draw
from paceline.planning.virtual.strategies import Named, copied
from paceline.planning.virtual.world import World, world
from paceline.planning.workload_file import WorkloadFile
from paceline.roadmaps.model import Roadmap
from paceline.runtime.part_factory import PartFactory, ReadyParts
from paceline.settings.model import Settings

T = TypeVar("T")


async def inputs_of(
    factory: PartFactory,
    *,
    workload: WorkloadFile | None = None,
    provider_model: Path | None = None,
    from_runs: bool = False,
) -> Inputs:
    """What a forecast rests on: files, past runs of the store, or the defaults.

    Raises:
        PartUnavailable: the store with the past runs cannot be reached.
        SettingsError: a file is wrong.
    """
    found = given(workload, provider_model)
    if not from_runs:
        return found
    async with factory.open_store(pool_limit=1, create=False) as store:
        return await recorded(found, store, factory.settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Forecasts of some roadmaps.

    Attributes:
        factory: makes executor, steps and strategies. Of its ready parts, the forecast uses copies
            of the strategies, the key of the provider, and whether the store is a server.
        workers: number of worker processes, for a distributed executor.
        seed: seed of the draws.
        draws: number of draws; by default as many as the number of concepts allows.
    """

    factory: PartFactory
    roadmaps: Sequence[Roadmap]
    inputs: Inputs
    workers: int = 1
    seed: int = 0
    draws: int | None = None

    async def forecast(self, progress: Progress = no_progress) -> Forecast:
        """The forecast for the settings of the app.

        Raises:
            PluginError: a strategy does not work in virtual time.
            SettingsError: a setting is wrong.
        """
        ready = await self._ready()
        return await _in_thread(
            lambda stopped: self._forecast(
                ready, self.factory.settings, self.workers, progress, stopped
            )
        )

    async def compare(
        self, alternatives: Sequence[Alternative], progress: Progress = no_progress
    ) -> list[Choice]:
        """A forecast for each alternative, in their order. Raises as ``forecast``."""
        ready = await self._ready()

        def choices(stopped: Callable[[], bool]) -> list[Choice]:
            found: list[Choice] = []
            for done, one in enumerate(alternatives):

                def report(drawn: int, total: int, before: int = done) -> None:
                    progress(before * total + drawn, len(alternatives) * total)

                settings = one.applied(self.factory.settings)
                workers = one.workers or self.workers
                parts = replace(ready, strategies=None) if one.strategy else ready
                found.append(Choice(one, self._forecast(parts, settings, workers, report, stopped)))
            return found

        return await _in_thread(choices)

    async def saves(self, steps: Sequence[str]) -> Sequence[Sequence[float]]:
        """When each draw saves its artifacts, in seconds, if only these steps are made.

        Raises as ``forecast``.
        """
        ready, settings = await self._ready(), self.factory.settings
        run = settings.run.model_copy(update={"steps": list(steps)})
        settings = settings.model_copy(update={"run": run})

        def drawn(stopped: Callable[[], bool]) -> list[Sequence[float]]:
            planned = self._world(ready, settings, self.workers)
            number = self.draws or draws_for(planned.concepts)
            seeds = range(self.seed * 1_000, self.seed * 1_000 + number)
            return [draw(planned, seed, stopped).saves for seed in seeds]

        return await _in_thread(drawn)

    async def _ready(self) -> "_Ready":
        """What the forecast uses of the app's ready parts."""
        ready = self.factory.ready
        connections: int | None = None
        if ready.store is not None and (await ready.store.budget()).server_max is not None:
            connections = ready.store.pool().limit
        return _Ready(
            provider=ready.provider,
            strategies=copied(ready.strategies),
            store=ready.store is not None,
            connections=connections,
        )

    def _forecast(
        self,
        ready: "_Ready",
        settings: Settings,
        workers: int,
        progress: Progress,
        stopped: Callable[[], bool],
    ) -> Forecast:
        planned = self._world(ready, settings, workers)
        return forecast(
            planned, draws=self.draws, seed=self.seed, progress=progress, stopped=stopped
        )

    def _world(self, ready: "_Ready", settings: Settings, workers: int) -> World:
        parts = ReadyParts(provider=ready.provider, strategies=ready.strategies)
        factory = PartFactory(settings, self.factory.plugins, self.factory.host, parts)
        return world(
            factory,
            self.roadmaps,
            self.inputs,
            workers=workers,
            connections=ready.connections if ready.store else connections_of(settings),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """What a forecast uses of the app's ready parts, which are in use on another event loop.

    Attributes:
        provider: only its key is read.
        strategies: copies.
        store: whether the app was given a store.
        connections: most connections of that store; ``None`` if it is no server.
    """

    provider: Provider | None
    strategies: Named | None
    store: bool
    connections: int | None


def connections_of(settings: Settings) -> int | None:
    """Most connections of a process with these settings; ``None`` if the store is no server."""
    if settings.store_kind in ("sqlite", "memory"):
        return None
    return settings.store.pool_size + settings.store.max_overflow


async def _in_thread(function: Callable[[Callable[[], bool]], T]) -> T:
    """Run a function in a thread; if the caller is cancelled, it stops soon."""
    stop = threading.Event()
    try:
        return await asyncio.to_thread(function, stop.is_set)
    finally:
        stop.set()
