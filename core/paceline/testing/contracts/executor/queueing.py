"""What an executor guarantees to clients."""

import signal

from paceline.errors import PartUnavailable
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.executor.base import ExecutorScenarios
from paceline.testing.contracts.executor.site import Site
from paceline.testing.held import EVERYTHING


def _once(site: Site, name: str) -> bool:
    """True; fails if the run, which has one concept, was executed more than once."""
    began = len(site.calls("began", name))
    assert began <= 1, (
        f"ran twice: a run was submitted again, and its concept was generated {began} times; pass "
        "each message to `Worker.run`, which claims the run, and never use a claim twice"
    )
    return True


class ExecutorQueueing(ExecutorScenarios):
    """Submitting, cancelling, inspecting."""

    @scenario
    async def test_what_is_submitted_before_a_worker_serves_is_run(self) -> None:
        """Lost run: queued runs must wait for a worker, even after the client has exited."""
        async with self.site() as site:
            async with site.app.client() as client:
                site.client = client
                runs = [await site.submit(name) for name in ("first", "second")]
            site.folder.open(EVERYTHING)
            worker = site.worker()
            why = (
                "lost run: it was submitted before a worker started, and was never executed; "
                "`submit` must put the run where a worker that starts later finds it"
            )
            await site.completed(why, *runs, by=worker)

    @scenario
    async def test_what_is_submitted_again_runs_once(self) -> None:
        """Ran twice: a second message has no effect on a queued, running or ended run."""
        # Without a limit of concepts, which would hide that two tasks execute one run.
        async with self.site({**self.settings(), "strategy": ["unbounded"]}) as site:
            run = await site.submit("first")
            await site.executor.submit(run)  # it is queued
            worker = site.worker(concurrency=3)
            why = "lost run: it was submitted twice, and was never executed"
            await site.until(lambda: bool(site.calls("began", "first")), why, by=worker)
            for _ in range(3):
                await site.executor.submit(run)  # it is running
            # The worker must still execute later runs.
            later = await site.submit("later")
            why = "the worker starts no other run after a running run was submitted again"
            await site.until(
                lambda: _once(site, "first") and bool(site.calls("began", "later")), why, by=worker
            )
            site.folder.open(EVERYTHING)
            await site.completed("a run was not completed", run, later, by=worker)
            await site.executor.submit(run)  # it has ended
            last = await site.submit("last")
            await site.completed("lost run: the last run was not completed", last, by=worker)
            worker.send(signal.SIGTERM)
            await site.exit_code(worker, "the worker did not exit after SIGTERM")
            assert _once(site, "first")
            fence = (await site.store.run(run)).fence
            assert fence == 1, f"ran twice: an uninterrupted run was claimed {fence} times"

    @scenario
    async def test_a_queued_run_that_is_cancelled_never_begins(self) -> None:
        """Cancelling a queued run stops that run only."""
        async with self.site() as site:
            cancelled, other = [await site.submit(name) for name in ("cancelled", "other")]
            await site.client.cancel(cancelled)
            await site.client.cancel(cancelled)  # repeating it is no error
            site.folder.open(EVERYTHING)
            worker = site.worker()
            await site.completed("lost run: cancelling a run stopped another one", other, by=worker)
            assert await site.statuses(cancelled) == ["cancelled"]
            assert site.calls("began", "cancelled") == [], (
                "a run that was cancelled while it was queued was executed; pass each message of "
                "the queue to `Worker.run`, which checks the run's status in the store"
            )

    @when("inspects")
    @scenario
    async def test_inspect_names_what_each_worker_holds(self) -> None:
        """Active runs are executed now, reserved runs wait in a worker."""
        async with self.site() as site:
            first = await site.submit("first")
            worker = site.worker()
            await site.until(
                lambda: bool(site.calls("began", "first")), "lost run: never started", by=worker
            )
            second = await site.submit("second")

            async def seen() -> bool:
                loads = await site.executor.inspect()
                return [(load.active, load.concurrency) for load in loads] == [((first,), 1)]

            why = (
                f"`inspect` must return one worker with active == ({first!r},) and concurrency 1, "
                f"but returned {await site.executor.inspect()}"
            )
            await site.until(seen, why, by=worker)
            (load,) = await site.executor.inspect()
            assert load.name, "`inspect` returned a worker without a name"
            assert load.reserved in ((), (second,)), (
                f"`reserved` must hold only runs that wait in the worker, got {load.reserved}"
            )
            site.folder.open(EVERYTHING)
            await site.completed("a run was not completed", first, second, by=worker)

            async def idle() -> bool:
                loads = await site.executor.inspect()
                return not any(load.active or load.reserved for load in loads)

            await site.until(idle, "`inspect` still returns runs that have ended", by=worker)

    @scenario
    async def test_says_what_it_is_and_closes(self) -> None:
        """Attributes, `check`, `queued`, and calling `close` twice."""
        async with self.site() as site, site.app.open_executor() as executor:
            assert executor.concurrency >= 1, "`concurrency` of a worker must be at least 1"
            assert executor.processes >= 1, "`processes` of one `serve` must be at least 1"
            assert len((await executor.check()).splitlines()) <= 1, "`check` is one line at most"
            assert list(await executor.inspect()) == [], "no worker runs; `inspect` returned one"
            before = await executor.queued()
            await executor.submit("unknown")
            after = await executor.queued()
            assert (before, after) in ((None, None), (0, 1)), (
                f"`queued` went from {before} to {after} when a run was submitted; it must count "
                "the runs that wait for a worker, or always return None"
            )
            assert all(finding.text for finding in executor.findings())
            await executor.cancel("unknown")
            await executor.close()

    @when("broker")
    @scenario
    async def test_a_broker_that_is_away_is_told_as_such(self) -> None:
        """If the broker is unreachable, `submit` and `check` raise ``PartUnavailable``."""
        async with self.site(self.unreachable()) as site:
            for name, call in {
                "submit": site.executor.submit("unknown"),
                "check": site.executor.check(),
            }.items():
                raised: BaseException | None = None
                try:
                    await call
                except Exception as error:  # noqa: BLE001
                    raised = error
                assert isinstance(raised, PartUnavailable), (
                    f"with an unreachable broker, `{name}` must raise PartUnavailable with a "
                    f"message that names the broker's address, raised {raised!r}"
                )
                assert len(str(raised).splitlines()) == 1, "the error message must be one line"
