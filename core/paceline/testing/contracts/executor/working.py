"""What an executor guarantees about its workers."""

import asyncio
import signal
from typing import ClassVar

from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.executor.base import ExecutorScenarios
from paceline.testing.contracts.executor.site import Site, WorkerProcess
from paceline.testing.held import BROKEN, EVERYTHING


class ExecutorWorking(ExecutorScenarios):
    """Executing runs, stopping, being killed."""

    dies: ClassVar[bool] = True

    @scenario
    async def test_a_worker_has_no_more_runs_at_once_than_it_may(self) -> None:
        """A worker executes `concurrency` runs at once, and starts another when one has ended."""
        async with self.site() as site:
            runs = [await site.submit(f"r{number}") for number in range(4)]
            worker = site.worker(concurrency=2)
            for ended in range(2):
                await self._filled(site, worker, ended + 2)
                done = site.calls("ended")
                following = next(call for call in site.calls("began") if call not in done)
                site.folder.open(following)
            await self._filled(site, worker, 4)
            site.folder.open(EVERYTHING)
            await site.completed("a run was not completed", *runs, by=worker)

    async def _filled(self, site: Site, worker: WorkerProcess, begun: int) -> None:
        """Wait until `begun` runs have started, and check that two run at most."""
        why = (
            "idle worker: with concurrency 2 and at most one run running, it did not start queued "
            f"run number {begun}"
        )
        await site.until(lambda: len(site.calls("began")) >= begun, why, by=worker)
        await asyncio.sleep(self.settles)  # time to start one too many
        most = site.at_once()
        assert most <= 2, (
            f"overrun: {most} runs were in work at once in a worker with concurrency 2; take the "
            "next run from the queue only when one of them has ended"
        )

    @scenario
    async def test_a_run_that_is_cancelled_in_work_makes_room(self) -> None:
        """The run ends within seconds, its call is cancelled, and the next run starts."""
        async with self.site() as site:
            run, following = [await site.submit(name) for name in ("held", "next")]
            worker = site.worker()
            why = "lost run: it was never started"
            await site.until(lambda: bool(site.calls("began")), why, by=worker)
            first = site.calls("began")[0].partition(".")[0]
            busy, waiting = (run, following) if first == "held" else (following, run)
            await site.client.cancel(busy)
            site.folder.open("held" if first == "next" else "next")

            async def cancelled() -> bool:
                return await site.statuses(busy) == ["cancelled"]

            why = (
                "a running run was cancelled, but did not stop; the worker of `open_worker` checks "
                "for cancel requests when it beats, so do not block the event loop"
            )
            await site.until(cancelled, why, by=worker)
            assert site.calls("cancelled", first) == [f"{first}.c0"], "its call was not cancelled"
            why = "after a running run was cancelled, the next run was not completed"
            await site.completed(why, waiting, by=worker)

    @scenario
    async def test_a_runner_that_raises_does_not_take_the_worker_down(self) -> None:
        """A worker survives an unreachable store, an unknown run and a bug in a plugin."""
        async with self.site() as site:
            site.folder.open(EVERYTHING)
            site.folder.store_down.touch()
            run = await site.submit("waits")
            await site.executor.submit("unknown")
            worker = site.worker()
            why = (
                "dead worker: it did not survive a run that could not be claimed; catch the errors "
                "of `Worker.run`, queue the run again, and continue"
            )
            await site.until(lambda: bool(site.calls("claim-failed")), why, by=worker)
            await asyncio.sleep(self.settles)  # time to exit
            site.folder.store_down.unlink()
            await site.completed(why, run, by=worker)
            broken = await site.submit(BROKEN)
            after = await site.submit("after")
            why = "dead worker: it did not survive a step that raised an error"
            await site.completed(why, after, by=worker)

            async def failed() -> bool:
                return await site.statuses(broken) == ["failed"]

            await site.until(failed, "a run must fail if its step raises an error", by=worker)
            await asyncio.sleep(self.settles)
            assert worker.process.poll() is None, why

    @scenario
    async def test_a_worker_that_is_stopped_leaves_the_rest_to_the_next(self) -> None:
        """Calls in flight are saved, `serve` returns, and no queued run is lost."""
        async with self.site() as site:
            runs = [await site.submit("held", 2), await site.submit("next", 2)]
            worker = site.worker()
            why = "lost run: it was never started"
            await site.until(lambda: bool(site.calls("began")), why, by=worker)
            (first,) = site.calls("began")
            worker.send(signal.SIGTERM)
            await asyncio.sleep(self.settles)
            site.folder.open(first)
            code = await site.exit_code(
                worker,
                "the worker does not stop: `serve` must return once the running runs are handed "
                "back; wait for `Worker.until_draining` as well as for the queue",
            )
            assert code == 128 + signal.SIGTERM, (
                f"`serve` must return the result of `serve_until_signalled`, returned {code}"
            )
            assert site.calls("ended").count(first) == 1, "a call in flight was not completed"
            site.folder.open(EVERYTHING)
            following = site.worker()
            why = (
                "lost run: a worker that was stopped kept runs that it had reserved; put back the "
                "runs that it did not start and those for which `Worker.run` returns None"
            )
            await site.completed(why, *runs, by=following)
            ended = site.calls("ended")
            assert len(ended) == len(set(ended)) == 4, f"not 4 calls, each once: {sorted(ended)}"

    @when("dies")
    @scenario
    async def test_the_run_of_a_dead_worker_goes_on_in_another(self) -> None:
        """Saved artifacts are kept, and the next worker generates the rest."""
        async with self.site() as site:
            run = await site.submit("held", 2)
            dead = site.worker()
            await site.until(lambda: bool(site.calls("began")), "lost run: never started", by=dead)
            first = site.calls("began")[0]
            site.folder.open(first)  # the second concept begins when the first is saved
            await site.until(
                lambda: len(site.calls("began")) == 2, "the second concept never began", by=dead
            )
            dead.kill()
            waiting = await site.submit("waiting")
            site.folder.open(EVERYTHING)
            alive = site.worker()
            why = (
                "lost run: its worker was killed, and no other worker resumed it; acknowledge a "
                "message only after its run has ended, and let `submit` queue the run of a dead "
                "worker again"
            )
            await site.completed(why, run, waiting, by=alive)
            assert site.calls("began").count(first) == 1, "paid twice: a saved call was repeated"
