"""What an executor promises of the workers that it makes."""

import asyncio
import signal
from typing import ClassVar

from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.executor.base import ExecutorScenarios
from paceline.testing.contracts.executor.site import Site, WorkerProcess
from paceline.testing.held import BROKEN, EVERYTHING


class ExecutorWorking(ExecutorScenarios):
    """Serving, stopping, dying."""

    dies: ClassVar[bool] = True

    @scenario
    async def test_a_worker_has_no_more_runs_at_once_than_it_may(self) -> None:
        """Overrun: `concurrency` runs are in work, and one more only when one has ended."""
        async with self.site() as site:
            runs = [await site.submit(f"r{number}") for number in range(4)]
            worker = site.worker(concurrency=2)
            for ended in range(2):
                await self._filled(site, worker, ended + 2)
                gone = site.calls("ended")
                following = next(call for call in site.calls("began") if call not in gone)
                site.folder.open(following)  # makes room for one
            await self._filled(site, worker, 4)
            site.folder.open(EVERYTHING)
            await site.completed("a run does not end", *runs, by=worker)

    async def _filled(self, site: Site, worker: WorkerProcess, begun: int) -> None:
        """Wait until so many runs have begun, and see that it was not too early."""
        why = (
            "idle worker: it may have 2 runs in work, others wait, and it does not begin the "
            f"{begun}th though no more than one is in work"
        )
        await site.until(lambda: len(site.calls("began")) >= begun, why, by=worker)
        await asyncio.sleep(self.settles)  # time to take one too many
        most = site.at_once()
        assert most <= 2, (
            f"overrun: {most} runs were in work at once in a worker with concurrency 2; "
            "take a run from the queue only when one of those in work has ended"
        )

    @scenario
    async def test_a_run_that_is_cancelled_in_work_makes_room(self) -> None:
        """It ends within seconds, its call is stopped, and the next run begins."""
        async with self.site() as site:
            run, following = [await site.submit(name) for name in ("held", "next")]
            worker = site.worker()
            why = "lost run: never begun"
            await site.until(lambda: bool(site.calls("began")), why, by=worker)
            first = site.calls("began")[0].partition(".")[0]
            busy, waiting = (run, following) if first == "held" else (following, run)
            await site.client.cancel(busy)
            site.folder.open("held" if first == "next" else "next")

            async def cancelled() -> bool:
                return await site.statuses(busy) == ["cancelled"]

            why = (
                "a run that is cancelled in work goes on; the worker of `open_worker` learns of "
                "it by its beats: do not keep the event loop from running"
            )
            await site.until(cancelled, why, by=worker)
            assert site.calls("cancelled", first) == [f"{first}.c0"], "its call was not stopped"
            why = "no room: after a run in work was cancelled the next one is not begun"
            await site.completed(why, waiting, by=worker)

    @scenario
    async def test_a_runner_that_raises_does_not_take_the_worker_down(self) -> None:
        """The store is away, a run is unknown, a plugin has a bug: the worker goes on."""
        async with self.site() as site:
            site.folder.open(EVERYTHING)
            site.folder.away.touch()
            run = await site.submit("waits")
            await site.executor.submit("nobodys")
            worker = site.worker()
            why = (
                "dead worker: it did not outlive a run that could not be claimed; catch what "
                "`Worker.run` raises, queue the run again, and go on"
            )
            turned_away = "turned-away"
            await site.until(
                lambda: any(note.what == turned_away for note in site.folder.notes()),
                why,
                by=worker,
            )
            await asyncio.sleep(self.settles)  # time to die of it
            site.folder.away.unlink()
            await site.completed(why, run, by=worker)
            broken = await site.submit(BROKEN)
            after = await site.submit("after")
            why = "dead worker: it did not outlive a run whose step raised"
            await site.completed(why, after, by=worker)

            async def failed() -> bool:
                return await site.statuses(broken) == ["failed"]

            await site.until(failed, "a run whose step raised must fail", by=worker)
            await asyncio.sleep(self.settles)
            assert worker.process.poll() is None, why

    @scenario
    async def test_a_worker_that_is_stopped_leaves_the_rest_to_the_next(self) -> None:
        """What is in flight is saved, `serve` ends, and nothing that was queued is lost."""
        async with self.site() as site:
            runs = [await site.submit("held", 2), await site.submit("next", 2)]
            worker = site.worker()
            await site.until(lambda: bool(site.calls("began")), "lost run: never begun", by=worker)
            (first,) = site.calls("began")
            worker.tell(signal.SIGTERM)
            await asyncio.sleep(self.settles)
            site.folder.open(first)
            code = await site.exit_code(
                worker,
                "does not stop: `serve` must return when the runs in flight were handed back; "
                "wait for `Worker.until_draining` beside the queue",
            )
            assert code == 128 + signal.SIGTERM, (
                f"`serve` returned {code} after SIGTERM; return what `serve_until_signalled` does"
            )
            assert site.calls("ended").count(first) == 1, "a call in flight was not waited for"
            site.folder.open(EVERYTHING)
            following = site.worker()
            why = (
                "lost run: a worker that was stopped kept what it had taken; put back what was "
                "not begun, and what `Worker.run` answers with None while it drains"
            )
            await site.completed(why, *runs, by=following)
            ended = site.calls("ended")
            assert len(ended) == len(set(ended)) == 4, f"paid twice: {sorted(ended)}"

    @when("dies")
    @scenario
    async def test_the_run_of_a_dead_worker_goes_on_in_another(self) -> None:
        """Killed at any instant: what was saved is kept, the rest is made by the next worker."""
        async with self.site() as site:
            run = await site.submit("held", 2)
            dead = site.worker()
            await site.until(lambda: bool(site.calls("began")), "lost run: never begun", by=dead)
            first = site.calls("began")[0]
            site.folder.open(first)  # the second concept begins when the first is saved
            await site.until(
                lambda: len(site.calls("began")) == 2, "the run does not go on", by=dead
            )
            dead.kill()
            waiting = await site.submit("waiting")
            site.folder.open(EVERYTHING)
            alive = site.worker()
            why = (
                "lost run: its worker was killed, and no other goes on with it; a message is "
                "only done when the run has ended, and `submit` of a run whose worker is gone "
                "must not be taken for one that is queued"
            )
            await site.completed(why, run, waiting, by=alive)
            assert site.calls("began").count(first) == 1, "paid twice: what was saved"
