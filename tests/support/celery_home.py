"""A home with the executor ``celery``, and access to its store and its broker."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from paceline import App, Roadmap, parse_roadmap
from paceline.client.client import Client
from paceline.contracts.executor import WorkerLoad
from paceline.contracts.storage.records import Run, WorkerRecord
from paceline.contracts.storage.store import Store
from paceline.plugins.registry import Plugins
from paceline.settings.load import load_settings
from paceline.settings.model import Settings
from paceline_adapters.celery.executor import CeleryExecutor

from tests.support.cli_processes import Home


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
    client: Client
    store: Store
    executor: CeleryExecutor
    _do: Callable[[Coroutine[Any, Any, Any]], Any]

    @property
    def redis_url(self) -> str:
        """The URL of the broker."""
        return self.home.environment["PACELINE_REDIS__URL"]

    def submit(self, *roadmaps: Roadmap) -> list[str]:
        """Submit roadmaps, and return the ids of their runs."""
        return [self._do(self.client.submit(roadmap))[0].run_id for roadmap in roadmaps]

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
    app = App.load(environ=home.environment)
    with asyncio.Runner() as runner:
        opened = AsyncExitStack()
        parts = runner.run(opened.enter_async_context(app.factory.open_client_parts(pool_limit=1)))
        assert isinstance(parts.executor, CeleryExecutor)
        try:
            yield Rig(home, Client(parts), parts.store, parts.executor, runner.run)
        finally:
            runner.run(opened.aclose())
