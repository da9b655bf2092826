"""One measurement of growth, in a process of its own: ``python -m benchmarks.growth_cell JSON``.

The process is a worker that finds the run in its store. A run's first event comes when its
roadmap is loaded and nothing is generated yet: what the process has grown by until then is what
the roadmap costs, and the peak counts from there.
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Literal

import click
from paceline.client.client import Client
from paceline.contracts.store import Store
from paceline.plugins.registry import Plugins
from paceline.roadmaps.model import Roadmap, parse_roadmap
from paceline.runtime.open_worker import open_worker, reserve_connections, worker_records
from paceline.runtime.parts import make_executor, open_store
from paceline.runtime.worker import Worker
from paceline.settings.model import ProviderSettings, RunSettings, Settings, StoreSettings
from paceline_adapters.bench.quantiles import percentile
from pydantic import BaseModel, ConfigDict, SecretStr

from benchmarks import growth_provider, memory

#: Calls at once in a call-limited run.
LIMIT = 64
#: Seconds between two looks at the event loop's clock.
_TICK = 0.01
_WEEK = 7 * 24 * 3600.0


class Cell(BaseModel):
    """What to measure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    part: Literal["submit", "work"] = "work"
    concepts: int
    store: str
    """``store.url``."""
    base_url: str = ""
    """Of the simulator; without it the answers come from this process."""
    unbounded: bool = False
    """All calls at once, one for each concept, instead of ``LIMIT`` at once."""

    def settings(self) -> Settings:
        """The settings of its worker."""
        provider = ProviderSettings(name="plain")
        if self.base_url:
            provider = ProviderSettings(
                base_url=self.base_url,
                api_key=SecretStr("simulated"),
                model="simulated",
                timeout=_WEEK,
                max_connections=self.concepts if self.unbounded else LIMIT,
            )
        steps = ["tutorial"] if self.unbounded else ["tutorial", "resources", "quiz"]
        return Settings(
            strategy=["unbounded"] if self.unbounded else ["global"],
            strategies={} if self.unbounded else {"global": {"concurrency": LIMIT}},
            store=StoreSettings(url=SecretStr(self.store)),
            provider=provider,
            run=RunSettings(steps=steps, deadline=_WEEK),
        )


class Growth(BaseModel):
    """What was measured. Memory in bytes, time in seconds."""

    concepts: int
    cpu: float
    """Processor time of the worker's process, from the claim to the run's end."""
    wall: float
    roadmap: int
    """What loading the roadmap added; in the memory store it lay there before."""
    before: int
    """In memory before it was loaded: interpreter, libraries, an open store."""
    peak: int
    """Most in memory, from when the roadmap was loaded to the end."""
    lag_p99: float
    """How much later than due the event loop came to a timer, 99th percentile."""

    @property
    def cpu_per_concept(self) -> float:
        """Seconds."""
        return self.cpu / self.concepts

    @property
    def peak_less_roadmap(self) -> int:
        """Bytes."""
        return self.peak - self.roadmap


def a_roadmap(concepts: int) -> Roadmap:
    """A roadmap of so many concepts, ten to a module and a hundred to a stage, with texts."""
    listed = [
        {
            "concept_id": f"concept-{n}",
            "name": f"Concept number {n}",
            "description": f"What number {n} is about, in a sentence as people write them.",
            "estimated_hours": 1.5,
            "prerequisites": [f"concept-{n - 1}"] if n % 10 else [],
            "difficulty": "beginner",
            "keywords": ["growth", f"number {n}"],
        }
        for n in range(concepts)
    ]
    modules = [
        {"module_id": f"module-{n}", "name": f"Module {n}", "concepts": listed[n : n + 10]}
        for n in range(0, concepts, 10)
    ]
    stages = [
        {"stage_id": f"stage-{n}", "name": f"Stage {n}", "modules": modules[n : n + 10]}
        for n in range(0, len(modules), 10)
    ]
    return parse_roadmap(
        {"roadmap_id": "growth", "title": "Growth", "stages": stages}, source="growth"
    )


async def submit(cell: Cell, settings: Settings, plugins: Plugins, store: Store) -> str:
    """Create the cell's run; its id."""
    service = Client(settings, store, make_executor(settings, plugins))
    run, _ = await service.submit(a_roadmap(cell.concepts))
    return run.run_id


async def work(cell: Cell, settings: Settings, plugins: Plugins) -> Growth:
    """Work on the cell's run and measure."""
    async with _worker(settings, plugins) as worker:
        store = worker.parts.store
        if settings.store_kind == "memory":
            run_id = await submit(cell, settings, plugins, store)
        else:
            run_id = (await store.runs(limit=1))[0].run_id
        memory.settle()
        before = memory.resident()
        loading = asyncio.create_task(_loaded(worker, run_id))
        async with _lags() as lags:
            cpu, wall = time.process_time(), time.perf_counter()
            status = await worker.run(run_id)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        if status != "completed":
            run = await store.run(run_id)
            raise RuntimeError(f"the run ended {status}: {run.reason}")
        return Growth(
            concepts=cell.concepts,
            cpu=cpu,
            wall=wall,
            roadmap=await loading - before,
            before=before,
            peak=memory.peak(),
            lag_p99=percentile(lags, 0.99) if lags else 0.0,
        )


async def _loaded(worker: Worker, run_id: str) -> int:
    """What is in memory when the run's roadmap was loaded; the peak is forgotten there."""
    async with aclosing(worker.parts.bus.subscribe(run_id)) as events:
        await anext(events)
    loaded = memory.resident()
    memory.forget_peak()
    return loaded


@asynccontextmanager
async def _worker(settings: Settings, plugins: Plugins) -> AsyncGenerator[Worker]:
    (record,) = worker_records(settings, executor="in-process", concurrency=1)
    if settings.store_kind == "memory":
        async with open_worker(settings, plugins, record, pool_limit=None) as worker:
            yield worker
        return
    limit, _ = await reserve_connections(settings, plugins, [record])
    async with open_worker(settings, plugins, record, pool_limit=limit) as worker:
        yield worker


@asynccontextmanager
async def _lags() -> AsyncGenerator[list[float]]:
    """How late the event loop is, looked at every hundredth of a second."""
    found: list[float] = []
    loop = asyncio.get_running_loop()

    async def look() -> None:
        while True:
            due = loop.time() + _TICK
            await asyncio.sleep(_TICK)
            found.append(loop.time() - due)

    looking = asyncio.create_task(look())
    try:
        yield found
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


async def _main(cell: Cell) -> BaseModel | None:
    settings, plugins = cell.settings(), Plugins()
    plugins.register(growth_provider, "growth")
    if cell.part == "work":
        return await work(cell, settings, plugins)
    async with open_store(settings, plugins) as store:
        await submit(cell, settings, plugins, store)
    return None


if __name__ == "__main__":
    measured = asyncio.run(_main(Cell.model_validate_json(sys.argv[1])))
    if measured is not None:
        click.echo(measured.model_dump_json())
