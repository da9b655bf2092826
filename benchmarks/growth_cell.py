"""One measurement of growth in its own process: ``python -m benchmarks.growth_cell JSON``.

The process is a worker that works on the run in its store. The run's first event is published when
its roadmap is loaded and nothing is generated yet. The growth of memory until then is the cost of
the roadmap; the peak is measured from then on.
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Literal

import click
from paceline import (
    App,
    EventBus,
    ProviderSettings,
    Roadmap,
    Settings,
    StoreSettings,
    parse_roadmap,
)
from paceline.client.client import Client
from paceline.settings.model import RunSettings
from paceline_adapters.bench.quantiles import percentile
from pydantic import BaseModel, ConfigDict, SecretStr

from benchmarks import growth_provider, memory

#: Concurrent calls of a call-limited run.
LIMIT = 64
#: Seconds between two measurements of the event loop's delay.
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
    """URL of the simulator; if empty, the answers come from this process."""
    unbounded: bool = False
    """All calls at once, one per concept, instead of ``LIMIT`` at once."""

    def settings(self) -> Settings:
        """The settings of the worker."""
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
    """The measurement. Memory is in bytes, time in seconds."""

    concepts: int
    cpu: float
    """Processor time of the worker process, from the claim to the end of the run."""
    wall: float
    roadmap: int
    """Memory for loading the roadmap; with the memory store it was loaded before."""
    before: int
    """Memory before the roadmap was loaded: interpreter, libraries, an open store."""
    peak: int
    """Peak of memory after the roadmap was loaded."""
    lag_p99: float
    """Delay of timers on the event loop, 99th percentile."""

    @property
    def cpu_per_concept(self) -> float:
        """Processor time per concept in seconds."""
        return self.cpu / self.concepts

    @property
    def peak_less_roadmap(self) -> int:
        """Peak without the memory for the roadmap, in bytes."""
        return self.peak - self.roadmap


def make_roadmap(concepts: int) -> Roadmap:
    """A roadmap with ten concepts per module and a hundred per stage, with texts."""
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


async def submit(cell: Cell, client: Client) -> str:
    """Create the cell's run; returns its id."""
    run, _ = await client.submit(make_roadmap(cell.concepts))
    return run.run_id


async def work(cell: Cell, app: App) -> Growth:
    """Work on the cell's run and measure."""
    async with app.worker(concurrency=1) as worker:
        store = worker.store
        if app.settings.store_kind == "memory":
            run_id = await submit(cell, Client(worker.parts))
        else:
            run_id = (await store.runs(limit=1))[0].run_id
        memory.release_unused()
        before = memory.resident()
        loading = asyncio.create_task(_loaded(worker.parts.bus, run_id))
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


async def _loaded(bus: EventBus, run_id: str) -> int:
    """Memory when the run's roadmap was loaded; the peak is reset then."""
    async with aclosing(bus.subscribe(run_id)) as events:
        await anext(events)
    loaded = memory.resident()
    memory.reset_peak()
    return loaded


@asynccontextmanager
async def _lags() -> AsyncGenerator[list[float]]:
    """Delays of a timer on the event loop, measured every 10 ms."""
    found: list[float] = []
    loop = asyncio.get_running_loop()

    async def measure() -> None:
        while True:
            due = loop.time() + _TICK
            await asyncio.sleep(_TICK)
            found.append(loop.time() - due)

    measuring = asyncio.create_task(measure())
    try:
        yield found
    finally:
        measuring.cancel()
        with suppress(asyncio.CancelledError):
            await measuring


async def _main(cell: Cell) -> BaseModel | None:
    app = App(cell.settings(), plugins=[growth_provider])
    if cell.part == "work":
        return await work(cell, app)
    async with app.client() as client:
        await submit(cell, client)
    return None


if __name__ == "__main__":
    measured = asyncio.run(_main(Cell.model_validate_json(sys.argv[1])))
    if measured is not None:
        click.echo(measured.model_dump_json())
