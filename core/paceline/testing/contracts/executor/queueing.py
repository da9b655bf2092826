"""What an executor promises to those who submit."""

import signal

from paceline.errors import PartUnavailable
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.executor.base import ExecutorScenarios
from paceline.testing.contracts.executor.site import Site
from paceline.testing.held import EVERYTHING


def _once(site: Site, name: str) -> bool:
    """True, or else the run of one concept was worked on more than once."""
    began = len(site.calls("began", name))
    assert began <= 1, (
        f"ran twice: a run that was submitted again was worked on {began} times; hand each "
        "message to `Worker.run`, which claims the run, and never use a claim again"
    )
    return True


class ExecutorQueueing(ExecutorScenarios):
    """Submitting, cancelling, looking."""

    @scenario
    async def test_what_is_submitted_before_a_worker_serves_is_run(self) -> None:
        """Lost run: the queue outlives the client, and waits for a worker."""
        async with self.site() as site:
            async with site.app.client() as client:
                site.client = client
                runs = [await site.submit(name) for name in ("first", "second")]
            site.folder.open(EVERYTHING)
            worker = site.worker()
            why = (
                "lost run: it was submitted before a worker served, and never run; `submit` "
                "returns when the run is queued where a worker that starts later finds it"
            )
            await site.completed(why, *runs, by=worker)

    @scenario
    async def test_what_is_submitted_again_runs_once(self) -> None:
        """Ran twice: waiting, in work or over, a second message of a run changes nothing."""
        # Without a limit of concepts, which would hold up the second of two that work on a run.
        async with self.site({**self.settings(), "strategy": ["unbounded"]}) as site:
            run = await site.submit("first")
            await site.executor.submit(run)  # it waits
            worker = site.worker(concurrency=3)
            why = "lost run: it was submitted twice, and never run"
            await site.until(lambda: bool(site.calls("began", "first")), why, by=worker)
            for _ in range(3):
                await site.executor.submit(run)  # it is in work
            # Whoever comes later is served, so those messages did not stop the worker.
            later = await site.submit("later")
            why = "the worker takes nothing more after a run in work was submitted again"
            await site.until(
                lambda: _once(site, "first") and bool(site.calls("began", "later")), why, by=worker
            )
            site.folder.open(EVERYTHING)
            await site.completed("a run does not end", run, later, by=worker)
            await site.executor.submit(run)  # it is over
            last = await site.submit("last")
            await site.completed("lost run: the one submitted last", last, by=worker)
            worker.tell(signal.SIGTERM)
            await site.exit_code(worker, "told to stop, the worker does not end")
            assert _once(site, "first")
            fence = (await site.store.run(run)).fence
            assert fence == 1, f"ran twice: {fence} claims were made of a run that never stopped"

    @scenario
    async def test_a_queued_run_that_is_cancelled_never_begins(self) -> None:
        """Ran in vain: cancelled before a worker came, and the others go on."""
        async with self.site() as site:
            cancelled, other = [await site.submit(name) for name in ("cancelled", "other")]
            await site.client.cancel(cancelled)
            await site.client.cancel(cancelled)  # once more is no fault
            site.folder.open(EVERYTHING)
            worker = site.worker()
            await site.completed("cancelling one run lost another one", other, by=worker)
            assert await site.statuses(cancelled) == ["cancelled"]
            assert site.calls("began", "cancelled") == [], (
                "ran in vain: a run that was cancelled while it waited was begun; hand what "
                "comes from the queue to `Worker.run`, which asks the store"
            )

    @when("inspects")
    @scenario
    async def test_inspect_names_what_each_worker_holds(self) -> None:
        """Active is what is worked on, reserved what waits in a worker."""
        async with self.site() as site:
            first = await site.submit("first")
            worker = site.worker()
            await site.until(
                lambda: bool(site.calls("began", "first")), "lost run: never begun", by=worker
            )
            second = await site.submit("second")

            async def seen() -> bool:
                loads = await site.executor.inspect()
                return [(load.active, load.concurrency) for load in loads] == [((first,), 1)]

            why = (
                f"`inspect` must name one worker with active == ({first!r},) and concurrency 1; "
                f"it says {await site.executor.inspect()}"
            )
            await site.until(seen, why, by=worker)
            (load,) = await site.executor.inspect()
            assert load.name, "`inspect` gives a worker without a name"
            assert load.reserved in ((), (second,)), (
                f"`reserved` is {load.reserved}: only what the worker took and has not begun"
            )
            site.folder.open(EVERYTHING)
            await site.completed("a run does not end", first, second, by=worker)

            async def idle() -> bool:
                loads = await site.executor.inspect()
                return not any(load.active or load.reserved for load in loads)

            await site.until(idle, "`inspect` names runs that are over", by=worker)

    @scenario
    async def test_says_what_it_is_and_closes(self) -> None:
        """The small promises: `check` is one line, `queued` a count, `close` may come twice."""
        async with self.site() as site, site.app.open_executor() as executor:
            assert executor.concurrency >= 1, "`concurrency` is the runs of one worker at once"
            assert executor.processes >= 1, "`processes` is what one `serve` starts"
            assert len((await executor.check()).splitlines()) <= 1, "`check` is one line"
            assert list(await executor.inspect()) == [], "`inspect` names workers; none serves"
            before = await executor.queued()
            await executor.submit("nobodys")
            after = await executor.queued()
            assert (before, after) in ((None, None), (0, 1)), (
                f"`queued` went from {before} to {after} as a run was submitted; it counts "
                "what no worker took, or is None throughout"
            )
            assert all(finding.text for finding in executor.findings())
            await executor.cancel("nobodys")
            await executor.close()

    @when("broker")
    @scenario
    async def test_a_broker_that_is_away_is_told_as_such(self) -> None:
        """Unheard error: what cannot be queued is raised as ``PartUnavailable``, soon."""
        async with self.site(self.unreachable()) as site:
            for name, call in {
                "submit": site.executor.submit("nobodys"),
                "check": site.executor.check(),
            }.items():
                told: BaseException | None = None
                try:
                    await call
                except Exception as error:  # noqa: BLE001
                    told = error
                assert isinstance(told, PartUnavailable), (
                    f"unheard error: with no broker, `{name}` raised {told!r}; raise "
                    "PartUnavailable with a sentence that names the place"
                )
                assert len(str(told).splitlines()) == 1, "the error's text must be one line"
