"""A worker: it claims runs, works on them, and hands them back when it stops."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from paceline import log_context
from paceline.contracts.controls import Controls
from paceline.contracts.executor import Executor
from paceline.contracts.storage.records import Claim, RunStatus, WorkerRecord
from paceline.contracts.storage.store import Store
from paceline.delivery.couriers import Couriers
from paceline.errors import PacelineError, PartUnavailable, StoreLost
from paceline.generation.event_publisher import EventPublisher
from paceline.generation.parts import Parts
from paceline.runtime.budget_watch import BudgetWatch
from paceline.runtime.heartbeat import BEAT, Heartbeat
from paceline.runtime.outage_log import OutageLog
from paceline.runtime.recovery import queued_runs, recover
from paceline.runtime.run_task import RunTask, Setbacks, Stop
from paceline.runtime.shutdown import wait_until_signalled
from paceline.runtime.unsaved_charges import UnsavedCharges
from paceline.tasks import start_background
from paceline.text import count

log = logging.getLogger("paceline.worker")


class Worker:
    """Works on runs with the parts of this process; open one with ``App.worker``.

    Executors with a queue pass it runs with ``run``. ``serve`` claims runs from the store. The
    ``heartbeat`` reports to the store and renews the leases.
    """

    def __init__(
        self, parts: Parts, record: WorkerRecord, couriers: Couriers | None = None
    ) -> None:
        self.parts = parts
        self.record = record
        self.couriers = couriers or Couriers(parts.store, [])
        self._drain_requested = asyncio.Event()
        self._publisher = EventPublisher(parts.bus, parts.gauges)
        self._active: dict[str, RunTask] = {}
        self._setbacks = Setbacks()
        self._budgets = BudgetWatch(parts)
        self._charges = UnsavedCharges(parts.store)
        self._wake = asyncio.Event()
        self._drain_asked = False
        self._drain_process: Callable[[], None] | None = None
        self._store_outage = OutageLog(log, "runs wait until it is reachable again")
        self.heartbeat = Heartbeat(parts, record, self, self._store_outage)

    @property
    def store(self) -> Store:
        """The worker's store."""
        return self.parts.store

    @property
    def executor(self) -> Executor:
        """The executor that the worker submits runs to when it hands them back."""
        return self.parts.executor

    @property
    def draining(self) -> bool:
        """Whether the worker accepts no more runs."""
        return self._drain_requested.is_set()

    async def until_draining(self) -> None:
        """Return as soon as the worker accepts no more runs."""
        await self._drain_requested.wait()

    # -- runs ----------------------------------------------------------------------------

    async def run(self, run_id: str) -> RunStatus | None:
        """Claim a run and work on it until it ends or must stop; returns as ``RunWorker.run``."""
        log_context.bind(run_id=run_id, worker_id=self.record.worker_id)
        if self.draining or run_id in self._active:
            return None
        await recover(self.parts.store, self.parts.settings, None, run_id=run_id)
        lease = self.parts.settings.run.lease
        claim = await self._claimed(self.store.claim(run_id, self.record.worker_id, lease=lease))
        return None if claim is None else await self.work_on(claim)

    async def _claimed(self, claiming: Coroutine[Any, Any, Claim | None]) -> Claim | None:
        """Claim a run; if the caller is cancelled meanwhile, hand the claimed run back."""
        task = asyncio.ensure_future(claiming)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            with suppress(PacelineError):
                claim = await task
                if claim is not None:
                    await self.parts.store.hand_back(claim)
                    await self.parts.executor.submit(claim.run_id)
            raise

    async def work_on(self, claim: Claim) -> RunStatus | None:
        """Work on a claimed run until it ends or must stop; returns as ``run``.

        If the caller is cancelled, the run is stopped and queued again.
        """
        active = self._active[claim.run_id] = RunTask(
            self.parts,
            claim,
            publisher=self._publisher,
            store_outage=self._store_outage,
            setbacks=self._setbacks,
            charges=self._charges,
            draining=self._drain_requested,
        )
        self.parts.gauges.runs.add(claim.run_id)
        try:
            return await asyncio.shield(active.task)
        except asyncio.CancelledError:
            active.stop("stopped")
            return await active.task
        finally:
            # If the worker lost the run and claimed it again, the newer claim stays.
            if self._active.get(claim.run_id) is active:
                del self._active[claim.run_id]
                self.parts.gauges.runs.discard(claim.run_id)
            self._wake.set()

    # -- stopping ------------------------------------------------------------------------

    def expire(self, run_id: str) -> bool:
        """Stop a run as its deadline does: queued again if it saved anything, else failed.

        A run that has made no call only waited for admission, and is queued again too.
        Returns whether the worker works on the run.
        """
        self.stop_run(run_id, "deadline")
        return run_id in self._active

    def stop_run(self, run_id: str, why: Stop) -> None:
        """Stop one run if the worker works on it."""
        active = self._active.get(run_id)
        if active is not None:
            active.stop(why)

    def stop_runs(self, why: Stop) -> None:
        """Stop every run of the worker."""
        for active in self._active.values():
            active.stop(why)

    def drain_run(self, run_id: str) -> None:
        """Start no further call of one run if the worker works on it."""
        active = self._active.get(run_id)
        if active is not None:
            active.drain()

    def controls_changed(self, before: Controls) -> None:
        """Apply controls that have replaced ``before`` to the runs of this worker."""
        now = self.parts.controls.now
        new = [pause for pause in now.pauses if pause not in before.pauses]
        lifted = [pause for pause in before.pauses if pause not in now.pauses]
        for pause in new:
            log.warning("%s", pause.describe())
        for pause in lifted:
            if all(pause.target != one.target for one in now.pauses):
                log.warning("%s no longer paused", pause.target.describe())
        for active in list(self._active.values()):
            active.controls_changed(before.pauses)
        self.parts.strategy.limits_changed()
        self.parts.resources.limits_changed()
        self._wake.set()

    def drain_requested(self) -> None:
        """Drain the worker, because an operator asked for it. A second request does nothing."""
        if self._drain_asked:
            return
        self._drain_asked = True
        log.warning("draining by request of an operator")
        if self._drain_process is not None:
            self._drain_process()
        else:
            start_background(self.drain(self.parts.settings.run.grace))

    def drain_with(self, drain_process: Callable[[], None]) -> None:
        """Let an executor drain the whole process, if an operator asks the worker to drain."""
        self._drain_process = drain_process

    async def resume_held(self) -> None:
        """Queue runs of tenants again that are no longer paused."""
        for run_id in await self.store.resume_held(self.parts.settings.executor):
            log.info("run %s continues: its tenant is no longer paused", run_id)
            try:
                await self.executor.submit(run_id)
            except PartUnavailable as error:
                log.warning("run %s waits in the store: %s", run_id, error)

    async def write_charges(self) -> None:
        """Record what runs spent while the store was unreachable."""
        await self._charges.write()

    async def drain(self, grace: float) -> None:
        """Accept no more runs; wait up to ``grace`` seconds for calls in flight; save them.

        Unfinished runs are handed back. They resume at their first missing artifact.
        """
        self._drain_requested.set()
        self._wake.set()
        for active in self._active.values():
            active.drain()
        tasks = [active.task for active in self._active.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        await self.stop()

    async def stop(self) -> None:
        """Stop every run at once and hand it back."""
        self._drain_requested.set()
        self._wake.set()
        self.stop_runs("stopped")
        tasks = [active.task for active in self._active.values()]
        if tasks:
            await asyncio.wait(tasks)

    async def serve_until_signalled(
        self,
        serving: "asyncio.Task[None]",
        *,
        interrupted: Callable[[], Awaitable[None]] | None = None,
    ) -> int:
        """Wait for ``serving``; drain at the first signal to stop, stop at the second.

        Every run can be resumed afterwards. ``interrupted`` is called before the worker drains.
        Returns the exit code of the process: 0, 129 after SIGHUP, 130 after SIGINT, 143 after
        SIGTERM.
        """
        grace = self.parts.settings.run.grace

        async def drain() -> None:
            log.warning(
                "stopping: waiting up to %g s for %s in flight; press Ctrl-C again to stop now",
                grace,
                count(self.parts.gauges.calls, "call"),
            )
            if interrupted is not None:
                await interrupted()
            await self.drain(grace)

        return await wait_until_signalled(serving, drain=drain, stop=self.stop)

    # -- runs without an owner ---------------------------------------------------------------

    async def recover(self) -> None:
        """Queue the runs again that have lost their worker."""
        if self.draining:
            return
        try:
            await recover(self.parts.store, self.parts.settings, self.parts.executor)
            await self._budgets.look()
            await self.resume_held()
        except PacelineError as error:
            log.warning("the search for runs without a worker failed: %s", error)

    def queued_runs(self) -> AsyncIterator[str]:
        """Ids of all queued runs of the worker's executor, to compare with a queue."""
        return queued_runs(self.parts.store, self.parts.settings)

    # -- the store as the queue ----------------------------------------------------------

    async def serve(self, *, only: Sequence[str] | None = None, poll: float = 0.5) -> None:
        """Claim queued runs from the store, or only those in ``only``, until the worker drains.

        Raises:
            StoreLost: the store is gone. Every run was stopped.
        """
        working: set[asyncio.Task[RunStatus | None]] = set()
        try:
            while not self.draining:
                self._wake.clear()
                claim = None
                if (
                    len(working) < self.record.concurrency
                    and not self.parts.controls.now.all_paused
                ):
                    claim = await self._claim_next(only)
                if claim is not None:
                    task = asyncio.get_running_loop().create_task(self.work_on(claim))
                    working.add(task)
                    task.add_done_callback(working.discard)
                    continue
                # `wait_for` of Python 3.11 loses a cancellation that arrives as the wait ends.
                with suppress(TimeoutError):
                    async with asyncio.timeout(poll):
                        await self._wake.wait()
        finally:
            if working:
                await asyncio.wait(working)

    async def _claim_next(self, only: Sequence[str] | None) -> Claim | None:
        record, lease = self.record, self.parts.settings.run.lease
        try:
            return await self._claimed(
                self.store.claim_next(record.executor, record.worker_id, lease=lease, only=only)
            )
        except StoreLost:
            self.stop_runs("lost")
            raise
        except PartUnavailable as error:
            self._store_outage.failed(error)
            await asyncio.sleep(BEAT)
            return None
