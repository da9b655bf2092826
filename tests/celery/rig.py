"""A home whose executor is Celery, and a look into its store and its broker."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from paceline import Roadmap, parse_roadmap
from paceline.client.client import Client
from paceline.contracts.executor import WorkerLoad
from paceline.contracts.records import Run, WorkerRecord
from paceline.contracts.store import Store
from paceline.plugins.registry import Plugins
from paceline.runtime.parts import open_executor, open_store
from paceline.settings.load import load_settings
from paceline.settings.model import Settings
from paceline_adapters.celery.executor import CeleryExecutor

from tests.processes import Home


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
    store: Store
    executor: CeleryExecutor
    _do: Callable[[Coroutine[Any, Any, Any]], Any]

    @property
    def redis_url(self) -> str:
        """Where the broker is."""
        return self.home.environment["PACELINE_REDIS__URL"]

    def submit(self, *roadmaps: Roadmap) -> list[str]:
        """Submit roadmaps; returns the ids of their runs."""
        service = Client(settings_of(self.home), self.store, self.executor)
        return [self._do(service.submit(roadmap))[0].run_id for roadmap in roadmaps]

    def send(self, run_id: str) -> None:
        """Send a message that names a run, once more."""
        self._do(self.executor.submit(run_id))

    def run(self, run_id: str) -> Run:
        """Where a run stands."""
        return cast("Run", self._do(self.store.run(run_id)))

    def statuses(self, run_ids: Sequence[str]) -> set[str]:
        """Where several runs stand."""
        return {self.run(run_id).status for run_id in run_ids}

    def workers(self) -> Sequence[WorkerRecord]:
        """The registered workers."""
        return cast("Sequence[WorkerRecord]", self._do(self.store.workers()))

    def inspect(self) -> Sequence[WorkerLoad]:
        """What the workers hold."""
        return cast("Sequence[WorkerLoad]", self._do(self.executor.inspect()))

    def queued(self) -> int:
        """Messages that no worker has taken."""
        return cast("int", self._do(self.executor.queued()))

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


def settings_of(home: Home) -> Settings:
    """The settings of a home's processes."""
    return load_settings(Plugins(), environ=home.environment).settings


@contextmanager
def a_rig(home: Home) -> Iterator[Rig]:
    """A rig whose connections stay open, on a loop that runs while it is asked something."""
    settings, plugins = settings_of(home), Plugins()
    with asyncio.Runner() as runner:
        opened = AsyncExitStack()
        store = runner.run(opened.enter_async_context(open_store(settings, plugins, pool_limit=1)))
        executor = runner.run(opened.enter_async_context(open_executor(settings, plugins)))
        assert isinstance(executor, CeleryExecutor)
        try:
            yield Rig(home, store, executor, runner.run)
        finally:
            runner.run(opened.aclose())
