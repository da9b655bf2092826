"""Submitting roadmaps and following them to their end, in this process or by workers."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from paceline.app import App
from paceline.client.client import Client, Submitted
from paceline.client.follow import AWAY
from paceline.client.terminal.local_workers import local_workers
from paceline.client.terminal.output import note, warn
from paceline.client.terminal.progress_display import Display, look_for_ever
from paceline.client.terminal.results import Result, note_kept, result_of
from paceline.client.totals import Totals
from paceline.contracts.records import ENDED, Run
from paceline.contracts.share import EQUAL, Share
from paceline.errors import PartUnavailable, UsageError
from paceline.roadmaps.model import Roadmap
from paceline.tasks import cancel_and_wait
from paceline.text import count

#: Seconds between two looks at the figures: of this process, and of workers elsewhere.
LOOK_HERE, LOOK_ELSEWHERE = 0.1, 1.0


@dataclass(slots=True)
class Generation:
    """One call of ``paceline run``.

    Attributes:
        app: settings and plugins.
        roadmaps: the roadmaps to generate.
        display: shows progress.
        new: start new runs even for roadmaps that have one.
        workers: number of local worker processes to start, for a distributed executor.
        share: tenant and weight of the runs.
        results: one per roadmap, after ``go``.
        code: the exit code of a signal that ended the generation, else 0.
    """

    app: App
    roadmaps: Sequence[Roadmap]
    display: Display
    new: bool = False
    workers: int = 0
    share: Share = EQUAL
    results: list[Result] = field(default_factory=list[Result])
    code: int = 0

    async def go(self) -> None:
        """Submit the roadmaps, follow them to their end, and gather the results."""
        settings = self.app.settings
        if self.app.factory.executor().distributed:
            await self._elsewhere()
        elif self.workers:
            raise UsageError(
                f"--workers needs a distributed executor, but executor {settings.executor} works "
                "in this process: set its concurrency instead"
            )
        else:
            await self._here()

    async def _here(self) -> None:
        async with self.app.worker() as worker:
            client = Client(worker.parts, worker_id=worker.record.worker_id)
            runs = await self.submit(client)

            async def figures() -> Totals:
                totals = Totals()
                totals.add(worker.heartbeat.figures(), client.store.pool().limit)
                return totals

            async def serve() -> None:
                ours = [run.run_id for run, _ in runs]
                serving = asyncio.create_task(worker.serve(only=ours))
                following = asyncio.create_task(self.follow(client, runs, figures, LOOK_HERE))
                cut_off = asyncio.create_task(worker.heartbeat.until_cut_off(AWAY))
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

            with self.display:
                self.code = await worker.serve_until_signalled(asyncio.create_task(serve()))
            await self.gather(client, runs)

    async def _elsewhere(self) -> None:
        executor = self.app.settings.executor
        async with self.app.client() as client:
            runs = await self.submit(client)
            if all(run.status in ENDED for run, _ in runs):
                await self.gather(client, runs)
                return
            async with local_workers(self.app.loaded, self.workers):
                if not self.workers and not await _any_worker(client, executor):
                    warn(
                        f"no {executor} worker is registered, so the runs wait: start one with "
                        "`paceline worker`, or run this command with --workers 1"
                    )

                async def figures() -> Totals:
                    return Totals.over(await client.store.workers())

                following = asyncio.create_task(self.follow(client, runs, figures, LOOK_ELSEWHERE))
                with self.display:
                    self.code = await until_signalled(following)
            await self.gather(client, runs)
            if self.code and not self.workers:
                note("the workers continue with the runs; `paceline watch` follows them")

    async def submit(self, client: Client) -> list[tuple[Run, Submitted]]:
        """Submit the roadmaps and add them to the display."""
        runs: list[tuple[Run, Submitted]] = []
        for roadmap in self.roadmaps:
            run, what = await client.submit(roadmap, new=self.new, share=self.share)
            runs.append((run, what))
            self.display.add(run.run_id, run.title, run.total)
            note_kept(run, self.share)
            remark = {
                "created": "",
                "complete": f"run {run.run_id} is already complete; --new generates it again",
                "resumed": (
                    f"resuming run {run.run_id} "
                    f"({run.completed} of {count(run.total, 'concept')} done)"
                ),
                "attached": f"run {run.run_id} is already {run.status}; following it",
            }[what]
            if remark:
                note(f"{run.title}: {remark}", run_id=run.run_id)
        return runs

    async def follow(
        self,
        client: Client,
        runs: Sequence[tuple[Run, Submitted]],
        figures: Callable[[], Awaitable[Totals]],
        every: float,
    ) -> None:
        """Show runs and figures until all runs have ended."""

        async def one(run: Run) -> None:
            async for event in client.follow(run.run_id):
                self.display.event(event)

        looking = asyncio.create_task(look_for_ever(figures, self.display, every))
        try:
            async with asyncio.TaskGroup() as tasks:
                for run, _ in runs:
                    tasks.create_task(one(run))
        except* PartUnavailable as group:
            raise group.exceptions[0] from None
        finally:
            await cancel_and_wait(looking)

    async def gather(self, client: Client, runs: Sequence[tuple[Run, Submitted]]) -> None:
        """Keep the results of the runs."""
        for run, what in runs:
            self.results.append(await result_of(client.store, run.run_id, what))


async def _any_worker(client: Client, executor: str) -> bool:
    return any(worker.executor == executor for worker in await client.store.workers())


async def until_signalled(following: asyncio.Task[None]) -> int:
    """Wait for the end or a signal; returns the exit code of the signal, or 0."""
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
