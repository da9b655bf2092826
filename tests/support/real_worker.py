"""A worker on the test's loop with real parts, some of them behind a proxy."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paceline import App
from paceline.client.client import Client
from paceline.contracts.storage.records import ENDED, Run
from paceline.runtime.worker import Worker
from paceline_adapters.simulator.figures import Figures
from paceline_adapters.simulator.options import SimulatorOptions
from paceline_adapters.simulator.server import SimulatorServer, running

from tests.support.eventually import eventually_async
from tests.support.memory_worker import a_roadmap

#: Seconds that any wait may take on a busy machine.
PATIENCE = 90.0

#: Short pauses between attempts, and many attempts.
IMPATIENT = {
    "PACELINE_PROVIDER__ATTEMPTS": "20",
    "PACELINE_PROVIDER__BACKOFF": "0.05",
    "PACELINE_PROVIDER__MAX_BACKOFF": "0.5",
}


@dataclass(frozen=True, slots=True)
class Working:
    """A worker that serves runs, and the simulated LLM that it asks.

    Attributes:
        worker: the worker.
        llm: the LLM, in this process.
        client: submits runs.
    """

    worker: Worker
    llm: SimulatorServer
    client: Client

    @property
    def paid(self) -> Figures:
        """The figures of the LLM."""
        return self.llm.figures()

    async def submit(self, concepts: int) -> str:
        """Submit a roadmap of this number of concepts; return the id of its run."""
        run, _ = await self.client.submit(a_roadmap(concepts))
        return run.run_id

    async def asked(self, calls: int) -> None:
        """Wait until this number of calls was paid."""
        await eventually_async(lambda: self.paid.paid >= calls, PATIENCE)

    async def at_rest(self) -> None:
        """Wait until no call is in flight."""
        await eventually_async(lambda: self.worker.parts.gauges.calls == 0, PATIENCE)

    async def ended(self, run_id: str) -> Run:
        """Wait until a run has ended."""

        async def over() -> Run | None:
            run = await self.client.store.run(run_id)
            return run if run.status in ENDED else None

        run = await eventually_async(over, PATIENCE)
        assert run is not None
        return run


@asynccontextmanager
async def working(
    environ: Mapping[str, str],
    *,
    llm: Mapping[str, Any] | None = None,
    way: Callable[[str], str] = str,
) -> AsyncGenerator[Working]:
    """A worker that serves runs of the executor ``in-process``.

    Args:
        environ: settings as environment variables.
        llm: options of the simulated LLM, which is fast by default.
        way: turns the LLM's URL into the one that is used.
    """
    async with running(SimulatorOptions.model_validate({"speed": 200.0, **(llm or {})})) as server:
        given = {
            "PACELINE_PROVIDER__BASE_URL": way(server.base_url),
            "PACELINE_PROVIDER__API_KEY": "sk-test",
            **environ,
        }
        async with App.load(environ=given).worker() as worker:
            serving = asyncio.create_task(worker.serve())
            try:
                yield Working(worker, server, Client(worker.parts))
            finally:
                await worker.stop()
                await serving


def sqlite(folder: Path) -> dict[str, str]:
    """Settings for a database in a folder."""
    return {"PACELINE_STORE__URL": f"sqlite:///{folder / 'paceline.db'}"}
