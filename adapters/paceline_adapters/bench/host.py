"""The process that is measured: it warms up, generates the roadmaps when told to, and listens.

Run as ``python -m paceline_adapters.bench.host ORDER.json``; ``protocol.py`` says what it is told
and what it prints. Where the executor works in this process, so does the worker; else it starts
``paceline worker`` processes, submits to them, and hears of them. Either way it is the one real
subscriber of all progress events, by the cell's own event bus.
"""

import asyncio
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from paceline import EventBus, PacelineError, PartUnavailable, Roadmap, Run, Store, load_roadmap
from paceline.client.client import Client
from paceline.client.follow import follow
from paceline.client.terminal.local_workers import local_workers
from paceline.errors import first_cause
from paceline.plugins.registry import Plugins
from paceline.runtime.open_worker import open_worker, reserve_connections, worker_records
from paceline.runtime.parts import make_executor, open_bus, open_executor, open_store
from paceline.runtime.worker import Worker
from paceline.settings.load import Loaded, Value, load_settings

from paceline_adapters.bench.coalesced import Timed, messages
from paceline_adapters.bench.probes.processes import kill, tree
from paceline_adapters.bench.protocol import Order
from paceline_adapters.bench.seen import Pools, Seen

#: Seconds for all workers to register, and for all to beat.
_START, _BEAT = 60.0, 10.0
_LOOK = 0.05


class _Cell(ABC):
    """The cell's parts, opened.

    Args:
        store: where runs stand.
        bus: whose events are heard.
        service: submits.
        processes: how many work, so that each can be warmed up.
    """

    def __init__(self, store: Store, bus: EventBus, service: Client, *, processes: int = 1) -> None:
        self.processes = processes
        self.store = store
        self.bus = bus
        self.service = service

    async def generate(self, roadmaps: Sequence[Roadmap]) -> tuple[list[Run], list[Timed]]:
        """Submit roadmaps and hear of them until each has ended."""
        heard: list[Timed] = []

        async def listen(run_id: str) -> None:
            async for event in follow(self.store, self.bus, run_id):
                heard.append((time.time(), event))  # noqa: PERF401 - in the order of receipt

        runs: list[Run] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                for roadmap in roadmaps:
                    run, _ = await self.service.submit(roadmap, new=True)
                    runs.append(run)
                    tasks.create_task(listen(run.run_id))
                working = asyncio.create_task(self.work([run.run_id for run in runs]))
        except* PacelineError as group:
            raise first_cause(group) from None
        working.cancel()
        await asyncio.wait({working})
        return runs, heard

    @abstractmethod
    async def work(self, run_ids: Sequence[str]) -> None:
        """Work on runs until cancelled, if that happens in this process."""

    @abstractmethod
    async def pools(self) -> Pools:
        """The pools of all processes, as of now."""


class _Here(_Cell):
    """The worker is in this process."""

    def __init__(self, worker: Worker, service: Client) -> None:
        super().__init__(worker.parts.store, worker.parts.bus, service)
        self._worker = worker

    async def work(self, run_ids: Sequence[str]) -> None:
        await self._worker.serve(self._worker.record.executor, only=run_ids)

    async def pools(self) -> Pools:
        return Pools.of([self._worker.figures()])


class _Elsewhere(_Cell):
    """Workers are processes of their own, which report with each beat."""

    async def work(self, run_ids: Sequence[str]) -> None:  # noqa: ARG002
        await asyncio.get_running_loop().create_future()

    async def pools(self) -> Pools:
        """Wait until each worker has beaten since now."""
        asked = time.monotonic()
        while time.monotonic() < asked + _BEAT:
            workers = await self.store.workers()
            since = time.monotonic() - asked
            if workers and all(worker.beat_age < since for worker in workers):
                return Pools.of([worker.figures for worker in workers])
            await asyncio.sleep(_LOOK)
        raise PartUnavailable(f"a worker has not beaten for {_BEAT:g} s")

    async def until_registered(self) -> None:
        """Wait until all workers are there."""
        until = time.monotonic() + _START
        while len(await self.store.workers()) < self.processes:
            if time.monotonic() > until:
                raise PartUnavailable(f"the workers were not there after {_START:g} s")
            await asyncio.sleep(_LOOK)


@asynccontextmanager
async def opened(loaded: Loaded, plugins: Plugins, workers: int) -> AsyncGenerator[_Cell]:
    """The parts of the cell, its workers registered."""
    settings = loaded.settings
    executor = make_executor(settings, plugins)
    processes = executor.processes * workers
    if executor.distributed:
        async with (
            open_store(settings, plugins) as store,
            open_bus(settings, plugins) as bus,
            open_executor(settings, plugins) as client,
            local_workers(loaded, workers),
        ):
            cell = _Elsewhere(store, bus, Client(settings, store, client), processes=processes)
            await cell.until_registered()
            yield cell
        return
    records = worker_records(settings, executor=settings.executor, concurrency=executor.concurrency)
    limit, _ = await reserve_connections(settings, plugins, records)
    async with open_worker(settings, plugins, records[0], pool_limit=limit) as worker:
        yield _Here(worker, Client(settings, worker.parts.store, worker.parts.executor))


def settings_of(order: Order, plugins: Plugins) -> Loaded:
    """The settings of the cell: what the order says, and defaults."""
    given = {
        "provider.base_url": order.base_url,
        "provider.api_key": order.api_key,
        "provider.model": order.model,
        "store.url": order.store_url,
        **order.settings,
    }
    if order.redis_url is not None:
        given["redis.url"] = order.redis_url
    flags = [Value(tuple(key.split(".")), value, f"--set {key}") for key, value in given.items()]
    return load_settings(plugins, flags=flags, environ={})


async def host(order: Order) -> None:
    """Follow the protocol from the first word to the last."""
    plugins = Plugins()
    loaded = settings_of(order, plugins)
    warm_up = load_roadmap(order.warm_up)
    roadmaps = [load_roadmap(path) for path in order.roadmaps]
    async with opened(loaded, plugins, order.workers) as cell:
        await cell.generate([warm_up] * cell.processes)
        before = await cell.pools()
        _say("ready")
        if await _read() != "go":
            return
        runs, heard = await cell.generate(roadmaps)
        _say("done")
        await _read()  # what follows is no part of the round, and would count as its cost
        after = await cell.pools()
        # In a thread: it has an event loop of its own, in virtual time.
        told = await asyncio.to_thread(messages, runs, heard)
        seen = await Seen.gather(cell.store, runs, heard, told, after.since(before))
        order.out.write_text(seen.model_dump_json())
        # To end tidily takes seconds, and nothing of it is measured.
        kill(tree(os.getpid())[1:])
        os._exit(0)


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def _read() -> str:
    line: str = await asyncio.to_thread(sys.stdin.readline)
    return line.strip()


def main() -> int:
    """Run as the module; returns the exit code."""
    order = Order.model_validate_json(Path(sys.argv[1]).read_bytes())
    try:
        asyncio.run(host(order))
    except PacelineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
