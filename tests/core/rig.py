"""The real pipeline and worker in virtual time: shipped memory parts, a scripted provider."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from paceline import Event, Roadmap, Strategy, parse_roadmap
from paceline.client.client import Client
from paceline.contracts.records import Run, WorkerRecord
from paceline.plugins.context import Context
from paceline.plugins.registry import Plugins
from paceline.runtime.open_worker import worker_records
from paceline.runtime.parts import Parts, make_executor, make_strategy
from paceline.runtime.strategy_stack import StrategyStack
from paceline.runtime.worker import Worker
from paceline.settings.model import Settings
from paceline.testing.scripted import ScriptedProvider
from paceline_adapters.memory.bus import MemoryBus
from paceline_adapters.memory.ledger import MemoryLedger
from paceline_adapters.memory.store import MemoryStore


def a_roadmap(concepts: int, name: str = "r") -> Roadmap:
    """A roadmap with that many concepts, ``c0`` and so on."""
    members = [{"concept_id": f"c{n}", "name": f"Concept {n}"} for n in range(concepts)]
    module = {"module_id": "m", "name": "M", "concepts": members}
    stage = {"stage_id": "s", "name": "S", "modules": [module]}
    return parse_roadmap({"roadmap_id": name, "title": name, "stages": [stage]}, source=name)


@dataclass(frozen=True, slots=True)
class Rig:
    """A worker with everything around it."""

    worker: Worker
    store: MemoryStore
    bus: MemoryBus
    provider: ScriptedProvider
    service: Client

    async def generate(self, roadmap: Roadmap, *, new: bool = False) -> Run:
        """Submit a roadmap, work on it, and say where its run stands then."""
        run, _ = await self.service.submit(roadmap, new=new)
        await self.worker.run(run.run_id)
        return await self.store.run(run.run_id)

    async def events(self, run_id: str) -> list[Event]:
        """All events of a run that ended."""
        heard: list[Event] = []
        async for event in self.bus.subscribe(run_id):
            heard.append(event)
            if event.terminal:
                break
        return heard


@asynccontextmanager
async def rig(
    provider: ScriptedProvider | None = None,
    *,
    strategies: Sequence[tuple[str, Strategy]] | None = None,
    store: MemoryStore | None = None,
    settings: Settings | None = None,
    beating: bool = False,
) -> AsyncGenerator[Rig]:
    """A worker on the running loop; ``beating`` gives it its heart."""
    plugins = Plugins()
    settings = settings or Settings(strategy=["unbounded"])
    store = store or MemoryStore()
    provider = provider or ScriptedProvider()
    bus = MemoryBus(max_length=10_000, keep=1000.0)
    ledger = MemoryLedger(lease_seconds=settings.run.lease)
    context = Context(settings=settings, plugins=plugins, worker_id="w", ledger=lambda: ledger)
    stack = (
        make_strategy(settings, plugins, context)
        if strategies is None
        else StrategyStack(strategies)
    )
    await store.open()
    parts = Parts(
        settings=settings,
        store=store,
        bus=bus,
        provider=provider,
        strategy=stack,
        steps=[
            (name, plugins.step(name).make({}, context, "steps")) for name in settings.run.steps
        ],
        executor=make_executor(settings, plugins),
    )
    record: WorkerRecord = worker_records(settings, executor="in-process", concurrency=8)[0]
    await store.register(record)
    worker = Worker(parts, record)
    heart = asyncio.create_task(worker.beat_for_ever()) if beating else None
    try:
        yield Rig(worker, store, bus, provider, Client(settings, store, parts.executor))
    finally:
        await worker.stop()
        if heart is not None:
            heart.cancel()
            await asyncio.wait({heart})
        await stack.close()
        await ledger.close()
        await bus.close()
        await store.close()
