"""Submitting roadmaps and following them to their end, in this process or by workers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import click

from paceline.app import App
from paceline.client.client import Client, Submitted
from paceline.client.follow import MAX_OUTAGE
from paceline.client.run_request import NOTHING_SPECIAL, RunRequest
from paceline.client.terminal.adoption import note_adoption
from paceline.client.terminal.local_workers import local_workers
from paceline.client.terminal.output import echo_json, note, warn
from paceline.client.terminal.progress_display import Display, display, refresh_figures
from paceline.client.terminal.results import (
    INTERRUPTED,
    Result,
    exit_code,
    note_kept,
    print_table,
    result_of,
)
from paceline.client.terminal.time_left import TimeLeft
from paceline.client.totals import Totals
from paceline.contracts.share import DEFAULT_SHARE, Share
from paceline.contracts.storage.records import ENDED, Run
from paceline.contracts.storage.store import Store
from paceline.delivery.couriers import FLUSH
from paceline.errors import PacelineError, PartUnavailable, UsageError
from paceline.process.stoppable import run_stoppable, signals_handled
from paceline.roadmaps.model import Roadmap
from paceline.runtime.worker import Worker
from paceline.tasks import cancel_and_wait
from paceline.text import count, money

#: Seconds between two updates of the figures: of this process, and of other workers.
_REFRESH_HERE, _REFRESH_ELSEWHERE = 0.1, 1.0
#: Seconds between two sums of the costs.
_REFRESH_COSTS = 5.0


def generate(
    app: App,
    roadmaps: Sequence[Roadmap],
    *,
    new: bool = False,
    workers: int = 0,
    share: Share = DEFAULT_SHARE,
    request: RunRequest = NOTHING_SPECIAL,
    as_json: bool = False,
) -> int:
    """Generate roadmaps, show progress and results; returns the exit code.

    With ``as_json`` it prints the results as JSON and no progress. ``Generation`` documents the
    other arguments.
    """
    steps = app.settings.run.steps if request.steps is None else request.steps
    shown = display(as_json=as_json, steps=len(steps))
    generation = Generation(
        app,
        roadmaps,
        shown,
        new=new,
        workers=workers,
        share=share,
        request=request,
        quiet=as_json,
    )
    run_stoppable(generation.run())
    return generation.report(as_json=as_json)


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
        request: context and scope of the runs.
        quiet: show neither the time left nor the costs.
        results: one per roadmap, after ``run``.
        code: the exit code of a signal that ended the generation, else 0.
    """

    app: App
    roadmaps: Sequence[Roadmap]
    display: Display
    new: bool = False
    workers: int = 0
    share: Share = DEFAULT_SHARE
    request: RunRequest = NOTHING_SPECIAL
    quiet: bool = False
    results: list[Result] = field(default_factory=list[Result])
    code: int = 0

    async def run(self) -> None:
        """Submit the roadmaps, follow them to their end, and collect the results."""
        if self.app.factory.executor().distributed:
            await self._run_elsewhere()
        elif self.workers:
            raise UsageError(
                f"--workers needs a distributed executor, but {self.app.settings.executor} works "
                "in this process: set its concurrency instead"
            )
        else:
            await self._run_here()

    async def _run_here(self) -> None:
        async with self.app.worker() as worker:
            client = Client(worker.parts, worker_id=worker.record.worker_id)
            runs = await self.submit(client)

            async def work() -> None:
                ours = [run.run_id for run, _ in runs]
                serving = asyncio.create_task(worker.serve(only=ours))
                try:
                    await self.follow_worker(worker, client, runs, serving)
                finally:
                    await worker.drain(0)
                    await serving

            with self.display:
                self.code = await worker.serve_until_signalled(
                    asyncio.create_task(work()), interrupted=lambda: self.pause(client, runs)
                )
            if not self.code:
                await worker.couriers.flush(FLUSH)
            await self.collect(client, runs)

    async def _run_elsewhere(self) -> None:
        executor = self.app.settings.executor
        async with self.app.client() as client:
            runs = await self.submit(client)
            if all(run.status in ENDED for run, _ in runs):
                await self.collect(client, runs)
                return
            async with local_workers(self.app.loaded, self.workers):
                if not self.workers and not await any_worker(client.store, executor):
                    warn(
                        f"no {executor} worker is registered, so the runs wait: start one with "
                        "`paceline worker`, or run this command with --workers 1"
                    )

                following = asyncio.create_task(
                    self._follow(
                        client, runs, lambda: Totals.read(client.store), _REFRESH_ELSEWHERE
                    )
                )
                with self.display:
                    self.code = await until_signalled(following)
                if self.code and self.workers:
                    await self.pause(client, runs)
            await self.collect(client, runs)
            if self.code and not self.workers:
                note("the workers continue with the runs; `paceline watch` follows them")

    async def submit(self, client: Client) -> list[tuple[Run, Submitted]]:
        """Submit the roadmaps and add them to the display."""
        runs: list[tuple[Run, Submitted]] = []
        request = self.request
        for roadmap in self.roadmaps:  # all of them before the first run is stored
            await client.check_request(roadmap, request)
            if request.adopt:
                note_adoption(roadmap, await client.adoption(roadmap, request, self.share))
        for roadmap in self.roadmaps:
            run, submitted = await client.submit(
                roadmap,
                new=self.new,
                share=self.share,
                context=request.context,
                steps=request.steps,
                only=request.only,
                budget=request.budget,
                adopt=request.adopt,
            )
            runs.append((run, submitted))
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
            }[submitted]
            if remark:
                note(f"{run.title}: {remark}", run_id=run.run_id)
        return runs

    async def pause(self, client: Client, runs: Sequence[tuple[Run, Submitted]]) -> None:
        """Pause the runs of an interrupted command, so that no other worker continues them.

        Runs that were submitted before, and that the command only followed, stay queued.
        """
        for run, submitted in runs:
            if submitted in ("created", "resumed"):
                try:
                    await client.pause(run.run_id, INTERRUPTED)
                except PacelineError as error:
                    warn(f"run {run.run_id} is not paused: {error}")

    async def follow_worker(
        self,
        worker: Worker,
        client: Client,
        runs: Sequence[tuple[Run, Submitted]],
        serving: "asyncio.Task[None]",
    ) -> bool:
        """Show the runs of a worker of this process until they end or the worker stops.

        ``client`` has the worker's parts, and the task ``serving`` works on the runs. Returns
        whether all runs ended.

        Raises:
            PartUnavailable: the store was unreachable for too long.
        """

        async def figures() -> Totals:
            totals = Totals()
            totals.add(worker.heartbeat.figures(), client.store.pool().limit)
            return totals

        following = asyncio.create_task(self._follow(client, runs, figures, _REFRESH_HERE))
        cut_off = asyncio.create_task(worker.heartbeat.until_cut_off(MAX_OUTAGE))
        try:
            await asyncio.wait({serving, following, cut_off}, return_when=asyncio.FIRST_COMPLETED)
            for task in (cut_off, following):
                if task.done():
                    task.result()
            return following.done()
        finally:
            await cancel_and_wait(following, cut_off)

    async def _follow(
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
                if event.stopped:
                    return

        showing = [asyncio.create_task(refresh_figures(figures, self.display, every))]
        if not self.quiet:
            showing.append(asyncio.create_task(self._show_time_left(client, runs)))
            showing.append(asyncio.create_task(self._show_costs(client, [run for run, _ in runs])))
        try:
            async with asyncio.TaskGroup() as tasks:
                for run, _ in runs:
                    tasks.create_task(one(run))
        except* PartUnavailable as group:
            raise group.exceptions[0] from None
        finally:
            await cancel_and_wait(*showing)

    async def _show_costs(self, client: Client, runs: Sequence[Run]) -> None:
        """Show every few seconds what the runs have cost, if the settings have prices."""
        while True:
            with suppress(PacelineError):  # the figures report that the store is unreachable
                found = [(await client.store.spending(run.run_id)).total for run in runs]
                costs = [one.cost for one in found if one.cost is not None]
                if costs:
                    estimated = any(one.estimated for one in found)
                    currency = client.settings.provider.currency
                    self.display.spend(f"{money(sum(costs), currency, estimated=estimated)} spent")
            await asyncio.sleep(_REFRESH_COSTS)

    async def _show_time_left(self, client: Client, runs: Sequence[tuple[Run, Submitted]]) -> None:
        steps = self.request.steps or runs[0][0].steps or self.app.settings.run.steps
        left = TimeLeft(
            self.app.factory,
            client.store,
            [run for run, _ in runs if run.status not in ENDED],
            steps,
            workers=max(1, self.workers),
        )
        await left.show_forever(self.display.expect)

    async def collect(self, client: Client, runs: Sequence[tuple[Run, Submitted]]) -> None:
        """Read the results of the runs."""
        for run, submitted in runs:
            self.results.append(await result_of(client, run.run_id, submitted))

    def report(self, *, as_json: bool = False) -> int:
        """Print the results; returns the exit code."""
        code = self.code or exit_code([result.run.status for result in self.results])
        peaks = self.display.peaks
        if as_json:
            echo_json(
                {
                    "runs": [result.to_json() for result in self.results],
                    "peaks": {
                        "roadmaps": peaks.roadmaps_active,
                        "concepts": peaks.concepts,
                        "calls": peaks.calls,
                        "connections": peaks.connections,
                        "events_per_second": round(peaks.events_per_second, 1),
                    },
                    "exit_code": code,
                }
            )
            return code
        print_table(self.results)
        if self.code:
            note("stopped")
        if peaks.roadmaps_active:
            click.echo(
                f"Peak: {count(peaks.roadmaps_active, 'roadmap')} active at once, "
                f"{count(peaks.concepts, 'concept')} in flight."
            )
        return code


async def any_worker(store: Store, executor: str) -> bool:
    """Whether a live worker serves an executor."""
    return any(worker.executor == executor for worker in await store.workers())


async def until_signalled(following: "asyncio.Task[None]") -> int:
    """Wait for the end or a signal; returns the exit code of the signal, or 0."""
    received: list[int] = []

    def on_signal(number: int) -> None:
        received.append(number)
        following.cancel()

    with signals_handled(on_signal):
        await asyncio.wait({following})
    if not received:
        following.result()
    return 128 + received[0] if received else 0
