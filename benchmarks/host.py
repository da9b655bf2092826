"""paceline as a process that is driven like a contestant: one worker, and a listener per run."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager

from paceline.opening import open_worker, reserve_connections, worker_records
from paceline.plugins import Plugins
from paceline.roadmap import Roadmap
from paceline.service import Service
from paceline.settings.load import Value, load_settings
from paceline.worker import Worker

from benchmarks.contestants.protocol import Assignment, Generate, compete

#: Roadmaps at once: the default of the executors.
CONCURRENCY = 8


@asynccontextmanager
async def hosting(assignment: Assignment) -> AsyncGenerator[Generate]:
    """A worker with a beating heart, as ``paceline run`` has one."""
    given: dict[str, object] = {
        "provider.base_url": assignment.base_url,
        "provider.api_key": assignment.api_key,
        "provider.model": assignment.model,
        "store.url": assignment.store_url,
        **({} if assignment.redis_url is None else {"redis.url": assignment.redis_url}),
        **assignment.settings,
    }
    plugins = Plugins()
    flags = [Value(tuple(key.split(".")), value, "assignment") for key, value in given.items()]
    settings = load_settings(plugins, flags=flags, environ={}).settings
    records = worker_records(settings, executor=settings.executor, concurrency=CONCURRENCY)
    limit, _ = await reserve_connections(settings, plugins, records)
    async with open_worker(settings, plugins, records[0], pool_limit=limit) as worker:
        service = Service(settings, worker.parts.store, worker.parts.executor)

        async def generate(roadmaps: Sequence[Roadmap]) -> None:
            submitted = [await service.submit(roadmap) for roadmap in roadmaps]
            ids = [run.run_id for run, _ in submitted]
            serving = asyncio.create_task(worker.serve(settings.executor, only=ids))
            await asyncio.gather(*(until_finished(worker, run_id) for run_id in ids))
            serving.cancel()
            await asyncio.wait({serving})

        yield generate


async def until_finished(worker: Worker, run_id: str) -> None:
    """Hear every event of a run; the last one follows its durable end."""
    async with aclosing(worker.parts.bus.subscribe(run_id)) as events:
        async for event in events:
            if event.terminal:
                if event.status != "completed":
                    raise SystemExit(f"run {run_id} is {event.status}: {event.reason}")
                return


if __name__ == "__main__":
    compete(hosting)
