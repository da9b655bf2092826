"""Submitting roadmaps and following them to their end: here, or by workers elsewhere."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from paceline.cli.sharing import note_kept
from paceline.client.client import Client, Submitted
from paceline.client.follow import AWAY, follow
from paceline.client.local_workers import local_workers
from paceline.client.progress_display import Board, look_for_ever
from paceline.client.results import Result, result_of
from paceline.client.terminal import note, warn
from paceline.client.totals import Totals, totals_here
from paceline.contracts.events import EventBus
from paceline.contracts.records import ENDED, Run
from paceline.contracts.share import EQUAL, Share
from paceline.contracts.store import Store
from paceline.errors import PartUnavailable, UsageError
from paceline.plugins.registry import Plugins
from paceline.roadmaps.model import Roadmap
from paceline.runtime.open_worker import open_worker, reserve_connections, worker_records
from paceline.runtime.parts import (
    make_executor,
    open_bus,
    open_executor,
    open_store,
    open_telemetry,
)
from paceline.runtime.shutdown import serve_until_signalled
from paceline.settings.load import Loaded
from paceline.settings.model import Settings
from paceline.tasks import cancel_and_wait

#: Seconds between looks at the figures: of this process, and of workers elsewhere.
LOOK_HERE, LOOK_ELSEWHERE = 0.1, 1.0


@dataclass(slots=True)
class Generation:
    """One call of ``paceline run``.

    Attributes:
        loaded: the settings.
        plugins: where parts come from.
        roadmaps: what to generate.
        board: where progress is shown.
        new: start other runs even where there are some.
        workers: local worker processes to start, for a distributed executor.
        share: whose the runs are.
        results: one per roadmap, when it is over.
        code: exit code that a signal brought, or 0.
    """

    loaded: Loaded
    plugins: Plugins
    roadmaps: Sequence[Roadmap]
    board: Board
    new: bool = False
    workers: int = 0
    share: Share = EQUAL
    results: list[Result] = field(default_factory=list[Result])
    code: int = 0

    @property
    def _settings(self) -> Settings:
        return self.loaded.settings

    async def go(self) -> None:
        """Submit, follow to the end, and gather the results."""
        executor = make_executor(self._settings, self.plugins)
        if executor.distributed:
            await self._elsewhere()
        elif self.workers:
            raise UsageError(
                f"--workers starts workers of a queue, but executor {self._settings.executor} "
                "works in this process: set its concurrency instead"
            )
        else:
            await self._here(executor.concurrency)

    async def _here(self, concurrency: int) -> None:
        name = self._settings.executor
        records = worker_records(self._settings, executor=name, concurrency=concurrency)
        limit, warning = await reserve_connections(self._settings, self.plugins, records)
        if warning:
            warn(warning)
        async with open_worker(
            self._settings, self.plugins, records[0], pool_limit=limit
        ) as worker:
            store = worker.parts.store
            parts = worker.parts
            service = Client(self._settings, store, parts.executor, parts.telemetry)
            runs = await self.submit(service)
            ours = [run.run_id for run, _ in runs]
            bus = worker.parts.bus

            async def figures() -> Totals:
                return totals_here(worker.figures(), store.pool())

            async def serve() -> None:
                serving = asyncio.create_task(worker.serve(name, only=ours))
                following = asyncio.create_task(self.follow(store, bus, runs, figures, LOOK_HERE))
                cut_off = asyncio.create_task(worker.until_cut_off(AWAY))
                await asyncio.wait(
                    {serving, following, cut_off}, return_when=asyncio.FIRST_COMPLETED
                )
                if not following.done():
                    await cancel_and_wait(following)
                await worker.drain(0)
                await serving
                if not following.cancelled():
                    await following
                if cut_off.done():
                    cut_off.result()
                await cancel_and_wait(cut_off)

            with self.board:
                self.code = await serve_until_signalled(worker, asyncio.create_task(serve()))
            await self.gather(store, runs)

    async def _elsewhere(self) -> None:
        settings, plugins = self._settings, self.plugins
        async with (
            open_store(settings, plugins) as store,
            open_bus(settings, plugins) as bus,
            open_executor(settings, plugins) as executor,
            open_telemetry(settings, plugins) as telemetry,
        ):
            runs = await self.submit(Client(settings, store, executor, telemetry))
            if all(run.status in ENDED for run, _ in runs):
                await self.gather(store, runs)
                return
            async with local_workers(self.loaded, self.workers):
                if not self.workers and not await _any_worker(store, settings.executor):
                    warn(
                        f"no {settings.executor} worker is registered, so the runs wait: start "
                        "one with `paceline worker`, or call this with --workers 1"
                    )

                async def figures() -> Totals:
                    totals = Totals()
                    for worker in await store.workers():
                        totals.add(worker.figures, worker.pool_max)
                    return totals

                following = asyncio.create_task(
                    self.follow(store, bus if bus.shared else None, runs, figures, LOOK_ELSEWHERE)
                )
                with self.board:
                    self.code = await until_signalled(following)
            await self.gather(store, runs)
            if self.code and not self.workers:
                note("the runs go on in their workers; `paceline watch` follows them")

    async def submit(self, service: Client) -> list[tuple[Run, Submitted]]:
        """Submit the roadmaps, and put them on the board."""
        runs: list[tuple[Run, Submitted]] = []
        for roadmap in self.roadmaps:
            run, what = await service.submit(roadmap, new=self.new, share=self.share)
            runs.append((run, what))
            self.board.add(run.run_id, run.title, run.total)
            note_kept(run, self.share)
            remark = {
                "created": "",
                "complete": f"already complete as run {run.run_id}; --new generates it again",
                "resumed": f"resuming run {run.run_id} at {run.completed}/{run.total}",
                "attached": f"run {run.run_id} is {run.status} already; following it",
            }[what]
            if remark:
                note(f"{run.title}: {remark}", run_id=run.run_id)
        return runs

    async def follow(
        self,
        store: Store,
        bus: EventBus | None,
        runs: Sequence[tuple[Run, Submitted]],
        figures: Callable[[], Awaitable[Totals]],
        every: float,
    ) -> None:
        """Show runs and figures until all runs have ended."""

        async def one(run: Run, what: Submitted) -> None:
            # What another process works on is heard only over a bus that processes share.
            elsewhere = what == "attached" and run.status == "running"
            heard = bus if bus is not None and (bus.shared or not elsewhere) else None
            async for event in follow(store, heard, run.run_id):
                self.board.event(event)

        looking = asyncio.create_task(look_for_ever(figures, self.board, every))
        try:
            async with asyncio.TaskGroup() as tasks:
                for run, what in runs:
                    tasks.create_task(one(run, what))
        except* PartUnavailable as group:
            raise group.exceptions[0] from None
        finally:
            await cancel_and_wait(looking)

    async def gather(self, store: Store, runs: Sequence[tuple[Run, Submitted]]) -> None:
        """Keep what came of the runs."""
        for run, what in runs:
            self.results.append(await result_of(store, run.run_id, what))


async def _any_worker(store: Store, executor: str) -> bool:
    return any(worker.executor == executor for worker in await store.workers())


async def until_signalled(following: asyncio.Task[None]) -> int:
    """Wait for the end or a signal; the exit code that the signal means."""
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def on_signal(number: int) -> None:
        received.append(number)
        following.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    try:
        await asyncio.wait({following})
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    if not received:
        following.result()
    return 128 + received[0] if received else 0
