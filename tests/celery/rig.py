"""A home whose executor is Celery, and a look into its store and its broker."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from paceline import Roadmap, parse_roadmap
from paceline.executor import WorkerLoad
from paceline.parts import make_executor, open_store
from paceline.plugins import Plugins
from paceline.service import Service
from paceline.settings.load import load_settings
from paceline.settings.model import Settings
from paceline.store import Run, Store, WorkerRecord
from paceline_adapters.celery.executor import CeleryExecutor

from tests.processes import Home

T = TypeVar("T")


def a_roadmap(name: str, concepts: int) -> Roadmap:
    """A roadmap with that many concepts."""
    members = [{"concept_id": f"{name}-{n}", "name": f"{name} {n}"} for n in range(concepts)]
    module = {"module_id": "m", "name": "M", "concepts": members}
    stage = {"stage_id": "s", "name": "S", "modules": [module]}
    return parse_roadmap({"roadmap_id": name, "title": name, "stages": [stage]}, source=name)


@dataclass(frozen=True, slots=True)
class Rig:
    """What the tests do beside the worker processes, with the real parts."""

    home: Home

    @property
    def settings(self) -> Settings:
        """The settings of the processes."""
        return load_settings(Plugins(), environ=self.home.environment).settings

    @property
    def redis_url(self) -> str:
        """Where the broker is."""
        return self.home.environment["PACELINE_REDIS__URL"]

    def submit(self, *roadmaps: Roadmap) -> list[str]:
        """Submit roadmaps; returns the ids of their runs."""

        async def submit(store: Store, executor: CeleryExecutor) -> list[str]:
            service = Service(self.settings, store, executor)
            return [(await service.submit(roadmap))[0].run_id for roadmap in roadmaps]

        return self._do(submit)

    def send(self, run_id: str) -> None:
        """Send a message that names a run, once more."""
        self._do(lambda _, executor: executor.submit(run_id))

    def run(self, run_id: str) -> Run:
        """Where a run stands."""
        return self._look(lambda store: store.run(run_id))

    def statuses(self, run_ids: Sequence[str]) -> set[str]:
        """Where several runs stand."""
        return {self.run(run_id).status for run_id in run_ids}

    def workers(self) -> Sequence[WorkerRecord]:
        """The registered workers."""
        return self._look(lambda store: store.workers())

    def inspect(self) -> Sequence[WorkerLoad]:
        """What the workers hold."""
        return self._do(lambda _, executor: executor.inspect())

    def queued(self) -> int:
        """Messages that no worker has taken."""
        return self._do(lambda _, executor: executor.queued())

    def owner_pid(self, run_id: str) -> int:
        """The process that works on a run."""
        owner = self.run(run_id).owner
        (record,) = [worker for worker in self.workers() if worker.worker_id == owner]
        return record.identity.pid

    def write(self, roadmap: Roadmap) -> Path:
        """A file with a roadmap, for the command line."""
        path = self.home.folder / f"{roadmap.roadmap_id}.json"
        path.write_text(json.dumps(roadmap.model_dump(mode="json")))
        return path

    def _do(self, what: Callable[[Store, CeleryExecutor], Awaitable[T]]) -> T:
        async def do() -> T:
            plugins, settings = Plugins(), self.settings
            executor = make_executor(settings, plugins)
            assert isinstance(executor, CeleryExecutor)
            try:
                async with open_store(settings, plugins) as store:
                    return await what(store, executor)
            finally:
                await executor.close()

        return asyncio.run(do())

    def _look(self, what: Callable[[Store], Awaitable[T]]) -> T:
        async def look() -> T:
            async with open_store(self.settings, Plugins()) as store:
                return await what(store)

        return asyncio.run(look())
