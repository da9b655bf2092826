"""Where the suite tries an executor: a folder with a store, and worker processes."""

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
from paceline.contracts.store import Store
from paceline.roadmaps.model import parse_roadmap
from paceline.settings.model import Settings
from paceline.testing import held
from paceline.testing.held import Folder, What
from paceline.testing.held_worker import plugins_with
from paceline.testing.spawn import spawn

#: Seconds between two looks at what must come.
_LOOK = 0.05
#: Seconds of a worker that is stopped when the test is over, until it is killed.
_FAREWELL = 15.0
#: Lines of a worker's log that a failure shows.
_SHOWN = 15


def whole(given: Mapping[str, Any], executor: str, folder: Path) -> dict[str, Any]:
    """The author's settings with those of the site."""
    return {
        "strategy": ["per-roadmap"],
        **given,
        "executor": executor,
        "store": {"url": f"{held.NAME}:{folder}"},
        "provider": {"name": held.NAME},
        "providers": {held.NAME: {"folder": str(folder)}},
        "strategies": {"per-roadmap": {"limit": 1}},
        # Nothing here waits for a lease to end: who was killed is seen to be gone.
        "run": {"steps": [held.NAME], "lease": 600.0, "grace": 5.0},
    }


@dataclass(slots=True)
class WorkerProcess:
    """A process that serves."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to the process that serves."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it with all that it started; it can do nothing about it."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    async def end(self) -> None:
        """Stop it, in the end with force."""
        if self.process.poll() is None:
            self.tell(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self.process.wait, _FAREWELL)
        self.kill()

    def said(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-_SHOWN:])


@dataclass(slots=True)
class Site:
    """What a scenario speaks of."""

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
        """The settings of every process."""
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
        """Submit a roadmap of that name, and return the id of its run."""
        members = [{"concept_id": f"c{n}", "name": f"C {n}"} for n in range(concepts)]
        module = {"module_id": "m", "name": "M", "concepts": members}
        stage = {"stage_id": "s", "name": "S", "modules": [module]}
        data = {"roadmap_id": name, "title": name, "stages": [stage]}
        run, _ = await self.client.submit(parse_roadmap(data, source=name))
        return run.run_id

    def worker(self, concurrency: int = 1) -> WorkerProcess:
        """Start a worker; it is stopped when the scenario is over."""
        name = f"worker-{len(self.workers)}"
        order, log = self.folder.path / f"{name}.json", self.folder.path / f"{name}.log"
        order.write_text(
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
                [sys.executable, "-m", "paceline.testing.held_worker", str(order)],
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
        """Most runs that were ever in work together."""
        most, now = 0, list[str]()
        for note in self.folder.notes():
            if note.what == "began":
                now.append(note.roadmap)
            elif note.roadmap in now:
                now.remove(note.roadmap)
            most = max(most, len(set(now)))
        return most

    async def statuses(self, *run_ids: str) -> list[str]:
        """Where runs stand."""
        return [(await self.store.run(run_id)).status for run_id in run_ids]

    async def completed(self, why: str, *run_ids: str, by: WorkerProcess | None = None) -> None:
        """Wait until runs are complete."""

        async def all_are() -> bool:
            return set(await self.statuses(*run_ids)) == {"completed"}

        await self.until(all_are, why, by=by)

    async def until(
        self,
        check: Callable[[], bool | Awaitable[bool]],
        why: str,
        *,
        by: WorkerProcess | None = None,
    ) -> None:
        """Wait until something holds.

        Args:
            check: looks.
            why: what is wrong if it never does, and how to mend it.
            by: the worker that brings it about, and must live until then.
        """
        deadline = asyncio.get_running_loop().time() + self.patience
        while True:
            held_now = check()
            if await held_now if inspect.isawaitable(held_now) else held_now:
                return
            if by is not None and by.process.poll() is not None:
                raise AssertionError(
                    f"{why}\nthe worker ended with exit code {by.process.returncode}" + self._said()
                )
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"{why} (waited {self.patience:g} s)" + self._said())
            await asyncio.sleep(_LOOK)

    async def exit_code(self, worker: WorkerProcess, why: str) -> int:
        """The exit code of a worker that was told to stop."""
        await self.until(lambda: worker.process.poll() is not None, why)
        return int(worker.process.returncode)

    def _said(self) -> str:
        return "".join(f"\n{one.log.stem} said:\n{one.said()}" for one in self.workers)


@asynccontextmanager
async def a_site(
    given: Mapping[str, Any], executor: str, modules: Sequence[str], patience: float
) -> AsyncGenerator[Site]:
    """A new place: an empty store, no worker, and a client's executor."""
    async with AsyncExitStack() as stack:
        path = Path(stack.enter_context(TemporaryDirectory(prefix="paceline-")))
        settings_given = whole(given, executor, path)
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
