"""Where the suite tests an executor: a folder with a store, and worker processes."""

import asyncio
import inspect
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from paceline.app import App
from paceline.client.client import Client
from paceline.contracts.executor import Executor
from paceline.contracts.storage.store import Store
from paceline.roadmaps.model import parse_roadmap
from paceline.settings.model import Settings
from paceline.testing import held
from paceline.testing.held import Folder, What
from paceline.testing.held_worker import plugins_with
from paceline.testing.spawn import spawn

#: Seconds between two checks of a condition.
_POLL_INTERVAL = 0.05
#: Seconds from SIGTERM to SIGKILL for a worker that still runs at the end of the test.
_STOP_TIMEOUT = 15.0
#: Lines of each worker's log that a failure shows.
_LOG_LINES = 15


def site_settings(given: Mapping[str, Any], executor: str, folder: Path) -> dict[str, Any]:
    """The author's settings with those of the site."""
    return {
        "strategy": ["per-roadmap"],
        **given,
        "executor": executor,
        "store": {"url": f"{held.NAME}:{folder}"},
        "provider": {"name": held.NAME},
        "providers": {held.NAME: {"folder": str(folder)}},
        "strategies": {"per-roadmap": {"limit": 1}},
        # Recovery need not wait for leases: it detects that a killed worker has exited.
        "run": {"steps": [held.NAME], "lease": 600.0, "grace": 5.0},
    }


@dataclass(slots=True)
class WorkerProcess:
    """A process that runs ``serve``."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process, but not to its child processes."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill the process and all that it started with SIGKILL."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    async def end(self) -> None:
        """Stop the process. If it does not exit in time, kill it."""
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self.process.wait, _STOP_TIMEOUT)
        self.kill()

    def log_tail(self) -> str:
        """The last lines of the log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-_LOG_LINES:])


@dataclass(slots=True)
class Site:
    """The parts that a scenario uses."""

    folder: Folder
    app: App
    client: Client
    given: Mapping[str, Any]
    modules: Sequence[str]
    patience: float
    opened: AsyncExitStack
    workers: list[WorkerProcess] = field(default_factory=list[WorkerProcess])

    @property
    def settings(self) -> Settings:
        """The settings of the client and of all workers."""
        return self.app.settings

    @property
    def store(self) -> Store:
        """The client's store."""
        return self.client.store

    @property
    def executor(self) -> Executor:
        """The client's executor."""
        return self.client.executor

    async def submit(self, name: str, concepts: int = 1) -> str:
        """Submit a roadmap with the id `name`; returns the id of its run."""
        members = [{"concept_id": f"c{n}", "name": f"C {n}"} for n in range(concepts)]
        module = {"module_id": "m", "name": "M", "concepts": members}
        stage = {"stage_id": "s", "name": "S", "modules": [module]}
        data = {"roadmap_id": name, "title": name, "stages": [stage]}
        run, _ = await self.client.submit(parse_roadmap(data, source=name))
        return run.run_id

    def worker(self, concurrency: int = 1) -> WorkerProcess:
        """Start a worker. It is stopped at the end of the scenario."""
        name = f"worker-{len(self.workers)}"
        options, log = self.folder.path / f"{name}.json", self.folder.path / f"{name}.log"
        options.write_text(
            json.dumps(
                {"settings": self.given, "modules": self.modules, "concurrency": concurrency}
            )
        )
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("PACELINE_", "OPENAI_"))
        }
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        with log.open("ab") as file:
            process = spawn(
                [sys.executable, "-m", "paceline.testing.held_worker", str(options)],
                home=self.folder.path,
                log=file,
                environment=environment,
            )
        worker = WorkerProcess(process, log)
        self.workers.append(worker)
        self.opened.push_async_callback(worker.end)
        return worker

    def calls(self, what: What, roadmap: str | None = None) -> list[str]:
        """``roadmap.concept`` of the calls that began, ended or were cancelled."""
        return [
            f"{note.roadmap}.{note.concept}"
            for note in self.folder.notes()
            if note.what == what and roadmap in (None, note.roadmap)
        ]

    def at_once(self) -> int:
        """The highest number of runs that were executed at the same time."""
        most, now = 0, list[str]()
        for note in self.folder.notes():
            if note.what == "began":
                now.append(note.roadmap)
            elif note.roadmap in now:
                now.remove(note.roadmap)
            most = max(most, len(set(now)))
        return most

    async def statuses(self, *run_ids: str) -> list[str]:
        """The status of each run."""
        return [(await self.store.run(run_id)).status for run_id in run_ids]

    async def completed(self, why: str, *run_ids: str, by: WorkerProcess | None = None) -> None:
        """Wait until all of these runs are completed."""

        async def all_completed() -> bool:
            return set(await self.statuses(*run_ids)) == {"completed"}

        await self.until(all_completed, why, by=by)

    async def until(
        self,
        check: Callable[[], bool | Awaitable[bool]],
        why: str,
        *,
        by: WorkerProcess | None = None,
    ) -> None:
        """Wait until a condition holds.

        Args:
            check: returns whether it holds.
            why: message of the failure if it never holds: what is wrong, and how to fix it.
            by: a worker that must keep running until the condition holds.
        """
        deadline = asyncio.get_running_loop().time() + self.patience
        while True:
            holds = check()
            if await holds if inspect.isawaitable(holds) else holds:
                return
            if by is not None and by.process.poll() is not None:
                raise AssertionError(
                    f"{why}\nthe worker exited with code {by.process.returncode}" + self._logs()
                )
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"{why} (waited {self.patience:g} s)" + self._logs())
            await asyncio.sleep(_POLL_INTERVAL)

    async def exit_code(self, worker: WorkerProcess, why: str) -> int:
        """Wait until a worker has exited; returns its exit code."""
        await self.until(lambda: worker.process.poll() is not None, why)
        return int(worker.process.returncode)

    def _logs(self) -> str:
        return "".join(f"\nlog of {one.log.stem}:\n{one.log_tail()}" for one in self.workers)


@asynccontextmanager
async def open_site(
    given: Mapping[str, Any], executor: str, modules: Sequence[str], patience: float
) -> AsyncGenerator[Site]:
    """Open a new site with an empty store, no worker and a client."""
    async with AsyncExitStack() as stack:
        path = Path(stack.enter_context(TemporaryDirectory(prefix="paceline-")))
        settings_given = site_settings(given, executor, path)
        settings = Settings.model_validate(settings_given)
        app = App(settings, plugins=plugins_with(modules))
        client = await stack.enter_async_context(app.client())
        opened = await stack.enter_async_context(AsyncExitStack())
        yield Site(
            folder=Folder(path),
            app=app,
            client=client,
            given=settings_given,
            modules=modules,
            patience=patience,
            opened=opened,
        )
