"""Forecasts for an app: what it would take, with its settings or with others."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from paceline.planning.alternatives import Alternative, Choice
from paceline.planning.forecast import Forecast, Progress, forecast, no_progress
from paceline.planning.inputs import Inputs, given, recorded
from paceline.planning.workload_file import WorkloadFile
from paceline.planning.world import world
from paceline.plugins.registry import Plugins
from paceline.roadmaps.model import Roadmap
from paceline.runtime.part_factory import PartFactory
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
        factory: makes executor, steps and strategies; its ready parts are not used.
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
        return await _in_thread(
            lambda stopped: self._forecast(self.factory.settings, self.workers, progress, stopped)
        )

    async def compare(
        self, alternatives: Sequence[Alternative], progress: Progress = no_progress
    ) -> list[Choice]:
        """A forecast for each alternative, in their order. Raises as ``forecast``."""

        def choices(stopped: Callable[[], bool]) -> list[Choice]:
            found: list[Choice] = []
            for done, one in enumerate(alternatives):

                def report(drawn: int, total: int, before: int = done) -> None:
                    progress(before * total + drawn, len(alternatives) * total)

                settings = one.applied(self.factory.settings)
                workers = one.workers or self.workers
                found.append(Choice(one, self._forecast(settings, workers, report, stopped)))
            return found

        return await _in_thread(choices)

    def _forecast(
        self,
        settings: Settings,
        workers: int,
        progress: Progress,
        stopped: Callable[[], bool],
    ) -> Forecast:
        # Not the app's ready parts: they belong to another event loop, and are in use.
        plugins: Plugins = self.factory.plugins
        factory = PartFactory(settings, plugins, self.factory.host)
        planned = world(factory, self.roadmaps, self.inputs, workers=workers)
        return forecast(
            planned, draws=self.draws, seed=self.seed, progress=progress, stopped=stopped
        )


async def _in_thread(function: Callable[[Callable[[], bool]], T]) -> T:
    """Run a function in a thread; if the caller is cancelled, it stops soon."""
    stop = threading.Event()
    try:
        return await asyncio.to_thread(function, stop.is_set)
    finally:
        stop.set()
