"""A home with the executor ``celery``, and access to its store and its broker."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from paceline import Roadmap, parse_roadmap
from paceline.executor import WorkerLoad
from paceline.parts import open_executor, open_store
from paceline.plugins import Plugins
from paceline.records import Run, WorkerRecord
from paceline.service import Service
from paceline.settings.load import load_settings
from paceline.settings.model import Settings
from paceline.store import Store
from paceline_adapters.celery.executor import CeleryExecutor

from tests.processes import Home


def a_roadmap(name: str, concepts: int) -> Roadmap:
    """A roadmap with this number of concepts."""
    members = [{"concept_id": f"{name}-{n}", "name": f"{name} {n}"} for n in range(concepts)]
    module = {"module_id": "m", "name": "M", "concepts": members}
    stage = {"stage_id": "s", "name": "S", "modules": [module]}
    return parse_roadmap({"roadmap_id": name, "title": name, "stages": [stage]}, source=name)


@dataclass(frozen=True, slots=True)
class Rig:
    """What the tests use beside the worker processes: the real store and executor."""

    home: Home
    store: Store
    executor: CeleryExecutor
    _do: Callable[[Coroutine[Any, Any, Any]], Any]

    @property
    def redis_url(self) -> str:
        """The URL of the broker."""
        return self.home.environment["PACELINE_REDIS__URL"]

    def submit(self, *roadmaps: Roadmap) -> list[str]:
        """Submit roadmaps, and return the ids of their runs."""
        service = Service(settings_of(self.home), self.store, self.executor)
        return [self._do(service.submit(roadmap))[0].run_id for roadmap in roadmaps]

    def send(self, run_id: str) -> None:
        """Send another message for a run."""
        self._do(self.executor.submit(run_id))

    def run(self, run_id: str) -> Run:
        """The current state of a run."""
        return cast("Run", self._do(self.store.run(run_id)))

    def statuses(self, run_ids: Sequence[str]) -> set[str]:
        """The current statuses of several runs."""
        return {self.run(run_id).status for run_id in run_ids}

    def workers(self) -> Sequence[WorkerRecord]:
        """The registered workers."""
        return cast("Sequence[WorkerRecord]", self._do(self.store.workers()))

    def inspect(self) -> Sequence[WorkerLoad]:
        """What the workers hold."""
        return cast("Sequence[WorkerLoad]", self._do(self.executor.inspect()))

    def queued(self) -> int:
        """Number of messages that no worker has taken."""
        return cast("int", self._do(self.executor.queued()))

    def owner_pid(self, run_id: str) -> int:
        """Pid of the process that owns a run."""
        owner = self.run(run_id).owner
        (record,) = [worker for worker in self.workers() if worker.worker_id == owner]
        return record.identity.pid

    def write(self, roadmap: Roadmap) -> Path:
        """Write a roadmap to a file, for the command line."""
        path = self.home.folder / f"{roadmap.roadmap_id}.json"
        path.write_text(json.dumps(roadmap.model_dump(mode="json")))
        return path


def settings_of(home: Home) -> Settings:
    """The settings of a home's processes."""
    return load_settings(Plugins(), environ=home.environment).settings


@contextmanager
def a_rig(home: Home) -> Iterator[Rig]:
    """A rig with open connections. Its event loop runs during each call only."""
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
