"""The real pipeline and worker in virtual time, with memory parts and a scripted LLM."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from paceline import App, Event, Roadmap, Strategy, parse_roadmap
from paceline.client.client import Client
from paceline.contracts.storage.records import Run
from paceline.runtime.worker import Worker
from paceline.settings.model import Settings
from paceline.testing.scripted import ScriptedProvider
from paceline_adapters.memory.bus import MemoryBus
from paceline_adapters.memory.store import MemoryStore


def a_roadmap(concepts: int, name: str = "r") -> Roadmap:
    """A roadmap with this number of concepts: ``c0``, ``c1`` and so on."""
    members = [{"concept_id": f"c{n}", "name": f"Concept {n}"} for n in range(concepts)]
    module = {"module_id": "m", "name": "M", "concepts": members}
    stage = {"stage_id": "s", "name": "S", "modules": [module]}
    return parse_roadmap({"roadmap_id": name, "title": name, "stages": [stage]}, source=name)


@dataclass(frozen=True, slots=True)
class Rig:
    """A worker with its parts."""

    worker: Worker
    store: MemoryStore
    bus: MemoryBus
    provider: ScriptedProvider
    client: Client

    async def generate(self, roadmap: Roadmap, *, new: bool = False) -> Run:
        """Submit a roadmap, work on it, and return its run."""
        run, _ = await self.client.submit(roadmap, new=new)
        await self.worker.run(run.run_id)
        return await self.store.run(run.run_id)

    async def events(self, run_id: str) -> list[Event]:
        """All events of a run that ended."""
        received: list[Event] = []
        async for event in self.bus.subscribe(run_id):
            received.append(event)
            if event.terminal:
                break
        return received


@asynccontextmanager
async def rig(
    provider: ScriptedProvider | None = None,
    *,
    strategies: Sequence[tuple[str, Strategy]] | None = None,
    store: MemoryStore | None = None,
    settings: Settings | None = None,
    plugins: Sequence[object] = (),
) -> AsyncGenerator[Rig]:
    """A worker on the running loop, with parts in memory."""
    settings = settings or Settings(strategy=["unbounded"])
    store = store or MemoryStore()
    provider = provider or ScriptedProvider()
    bus = MemoryBus(max_length=10_000, keep=1000.0)
    app = App(
        settings,
        plugins=plugins,
        store=store,
        provider=provider,
        bus=bus,
        strategies=strategies,
    )
    await store.open()
    async with app.worker() as worker:
        yield Rig(worker, store, bus, provider, Client(worker.parts))
    await bus.close()
    await store.close()
