"""The measured process of a paceline cell: it warms up, generates the roadmaps, and reports.

Run as ``python -m paceline_adapters.bench.host ROUND.json``; see ``protocol.py`` for its input
and output. With an in-process executor the worker runs in this process. Otherwise the host starts
``paceline worker`` processes and submits to them. In both cases it subscribes to all progress
events through the cell's own event bus.
"""

import asyncio
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from paceline import App, PacelineError, PartUnavailable, Roadmap, Run, load_roadmap
from paceline.client.client import Client
from paceline.client.follow import follow
from paceline.client.terminal.local_workers import local_workers
from paceline.contracts.storage.records import Figures
from paceline.contracts.worker import RunWorker
from paceline.errors import first_cause
from paceline.process.garbage import collect_rarely

from paceline_adapters.bench.coalescing import TimedEvent, coalesced_message_times
from paceline_adapters.bench.observation import HostObservation, PoolFigures
from paceline_adapters.bench.probes.processes import kill, tree
from paceline_adapters.bench.protocol import RoundSpec, print_line

#: Maximum seconds until all workers are registered, and until all have sent a heartbeat.
_REGISTER_TIMEOUT, _HEARTBEAT_TIMEOUT = 60.0, 10.0
_POLL = 0.05


class _Cell(ABC):
    """The opened parts of the cell."""

    def __init__(self, client: Client, *, processes: int = 1) -> None:
        self.client = client
        self.processes = processes

    async def generate(self, roadmaps: Sequence[Roadmap]) -> tuple[list[Run], list[TimedEvent]]:
        """Submit roadmaps and follow their runs until each has ended."""
        events: list[TimedEvent] = []

        async def listen(run_id: str) -> None:
            async for event in follow(self.client.store, self.client.bus, run_id):
                events.append((time.time(), event))  # noqa: PERF401 - in the order of receipt

        runs: list[Run] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                for roadmap in roadmaps:
                    run, _ = await self.client.submit(roadmap, new=True)
                    runs.append(run)
                    tasks.create_task(listen(run.run_id))
                working = asyncio.create_task(self.work([run.run_id for run in runs]))
        except* PacelineError as group:
            raise first_cause(group) from None
        working.cancel()
        await asyncio.wait({working})
        return runs, events

    @abstractmethod
    async def work(self, run_ids: Sequence[str]) -> None:
        """Work on the runs until cancelled, if this process is the worker."""

    @abstractmethod
    async def pools(self) -> PoolFigures:
        """Current figures of the connection pools of all processes."""


class _InProcessCell(_Cell):
    """The worker runs in this process."""

    def __init__(
        self, client: Client, worker: RunWorker, worker_figures: Callable[[], Figures]
    ) -> None:
        super().__init__(client)
        self._worker = worker
        self._worker_figures = worker_figures

    async def work(self, run_ids: Sequence[str]) -> None:
        await self._worker.serve(only=run_ids)

    async def pools(self) -> PoolFigures:
        return PoolFigures.total([self._worker_figures()])


class _DistributedCell(_Cell):
    """The workers are separate processes that report with each heartbeat."""

    async def work(self, run_ids: Sequence[str]) -> None:  # noqa: ARG002
        await asyncio.get_running_loop().create_future()

    async def pools(self) -> PoolFigures:
        """Wait until each worker has sent a heartbeat after this call."""
        started = time.monotonic()
        while time.monotonic() < started + _HEARTBEAT_TIMEOUT:
            workers = await self.client.store.workers()
            elapsed = time.monotonic() - started
            if workers and all(worker.beat_age < elapsed for worker in workers):
                return PoolFigures.total([worker.figures for worker in workers])
            await asyncio.sleep(_POLL)
        raise PartUnavailable(f"a worker sent no heartbeat for {_HEARTBEAT_TIMEOUT:g} s")

    async def until_registered(self) -> None:
        """Wait until all workers are registered."""
        deadline = time.monotonic() + _REGISTER_TIMEOUT
        while len(await self.client.store.workers()) < self.processes:
            if time.monotonic() > deadline:
                raise PartUnavailable(
                    f"not all workers were registered after {_REGISTER_TIMEOUT:g} s"
                )
            await asyncio.sleep(_POLL)


@asynccontextmanager
async def open_cell(app: App, workers: int) -> AsyncGenerator[_Cell]:
    """Open the parts of the cell, with its workers registered."""
    executor = app.factory.executor()
    if executor.distributed:
        async with app.client() as client, local_workers(app.loaded, workers):
            cell = _DistributedCell(client, processes=executor.processes * workers)
            await cell.until_registered()
            yield cell
        return
    async with app.worker() as worker:
        client = Client(worker.parts, worker_id=worker.record.worker_id)
        yield _InProcessCell(client, worker, worker.heartbeat.figures)


def load_app(spec: RoundSpec) -> App:
    """Load paceline with the settings of the cell and defaults otherwise."""
    overrides = {
        "provider.base_url": spec.base_url,
        "provider.api_key": spec.api_key,
        "provider.model": spec.model,
        "store.url": spec.store_url,
        **spec.settings,
    }
    if spec.redis_url is not None:
        overrides["redis.url"] = spec.redis_url
    return App.load(overrides=overrides, environ={})


async def host(spec: RoundSpec) -> None:
    """Run one round as the protocol describes it."""
    app = load_app(spec)
    warm_up = load_roadmap(spec.warm_up)
    roadmaps = [load_roadmap(path) for path in spec.roadmaps]
    async with open_cell(app, spec.workers) as cell:
        await cell.generate([warm_up] * cell.processes)
        before = await cell.pools()
        print_line("ready")
        if await _read_line() != "go":
            return
        runs, events = await cell.generate(roadmaps)
        print_line("done")
        await _read_line()  # what follows is not part of the round and must not count as its cost
        after = await cell.pools()
        # In a thread, because it runs an event loop of its own, in virtual time.
        messages = await asyncio.to_thread(coalesced_message_times, runs, events)
        observation = await HostObservation.collect(
            cell.client.store, runs, events, messages, after.since(before)
        )
        spec.out.write_text(observation.model_dump_json())
        # An orderly shutdown takes seconds, and nothing of it is measured.
        kill(tree(os.getpid())[1:])
        os._exit(0)


async def _read_line() -> str:
    line: str = await asyncio.to_thread(sys.stdin.readline)
    return line.strip()


def main() -> int:
    """Run as the module; returns the exit code."""
    spec = RoundSpec.model_validate_json(Path(sys.argv[1]).read_bytes())
    try:
        asyncio.run(host(spec))
    except PacelineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    collect_rarely()  # as the command line does
    sys.exit(main())
