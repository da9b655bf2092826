"""One process that works on runs: it registers, beats, claims, and stops tidily."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from paceline import log_context
from paceline.contracts.executor import Executor
from paceline.contracts.records import Claim, RunStatus, WorkerRecord
from paceline.contracts.store import Store
from paceline.contracts.telemetry import Span
from paceline.errors import (
    PacelineError,
    PartUnavailable,
    ProviderUnusable,
    StaleFence,
)
from paceline.runtime.event_publisher import EventPublisher
from paceline.runtime.heartbeat import BEAT, Heartbeat, Stop
from paceline.runtime.outage_log import OutageLog
from paceline.runtime.parts import Parts
from paceline.runtime.pipeline import Pipeline
from paceline.runtime.progress import Progress
from paceline.runtime.recovery import queued_runs, recover
from paceline.runtime.shutdown import wait_until_signalled
from paceline.text import count

log = logging.getLogger("paceline.worker")


@dataclass(slots=True)
class _Active:
    """A run in work."""

    claim: Claim
    task: asyncio.Task[RunStatus | None]
    pipeline: Pipeline | None = None
    stop: Stop | None = None
    settling: bool = False


class Worker:
    """Works on runs with the parts of this process.

    Make one with ``open_worker``. Executors hand it runs by ``run``; where the store alone is
    the queue, ``serve`` claims them.
    """

    def __init__(self, parts: Parts, record: WorkerRecord) -> None:
        self.parts = parts
        self.record = record
        self._drain_asked = asyncio.Event()
        self._outbox = EventPublisher(parts.bus, parts.gauges)
        self._active: dict[str, _Active] = {}
        #: Tries in a row that a missing part ended before anything was saved, by run.
        self._setbacks: dict[str, int] = {}
        self._wake = asyncio.Event()
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
        """Whether it takes no more runs."""
        return self._drain_asked.is_set()

    async def until_draining(self) -> None:
        """Return as soon as it takes no more runs: what hands it runs shall end then."""
        await self._drain_asked.wait()

    # -- runs ----------------------------------------------------------------------------

    async def run(self, run_id: str) -> RunStatus | None:
        """Claim a run and work on it until it ends or has to stop.

        Returns:
            The status it has then (``queued`` when it was handed back), or ``None`` when it
            is not ours: it has a live owner, is over, or was taken from us.
        """
        log_context.bind(run_id=run_id, worker_id=self.record.worker_id)
        if self.draining or run_id in self._active:
            return None
        await recover(self.parts.store, self.parts.settings, None, run_id=run_id)
        lease = self.parts.settings.run.lease
        claim = await self._claimed(
            self.parts.store.claim(run_id, self.record.worker_id, lease=lease)
        )
        return None if claim is None else await self.work_on(claim)

    async def _claimed(self, claiming: Coroutine[Any, Any, Claim | None]) -> Claim | None:
        """Claim a run; one that is ours although the caller was cancelled goes back at once."""
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
        """Work on a claimed run until it ends or has to stop; returns as ``run``.

        Cancelling the caller stops the run tidily: it is queued again.
        """
        task = asyncio.get_running_loop().create_task(self._work(claim))
        active = self._active[claim.run_id] = _Active(claim, task)
        self.parts.gauges.runs.add(claim.run_id)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._stop(active, "stopped")
            return await task
        finally:
            del self._active[claim.run_id]
            self.parts.gauges.runs.discard(claim.run_id)
            self._wake.set()

    async def _work(self, claim: Claim) -> RunStatus | None:
        log_context.bind(run_id=claim.run_id, worker_id=self.record.worker_id)
        with self.parts.telemetry.run(claim) as span:
            return await self._generate(claim, span)

    async def _generate(self, claim: Claim, span: Span) -> RunStatus | None:
        settings = self.parts.settings.run
        progress = Progress(claim, total=0, outbox=self._outbox)
        active = self._active[claim.run_id]
        status: RunStatus
        reason: str | None = None
        deadline = asyncio.timeout(settings.deadline)
        try:
            async with deadline:
                pipeline = active.pipeline = await self._load(claim, progress)
                progress.snapshot()
                finished, total = progress.finished, progress.total
                log.info("run %s: %d of %s done", claim.run_id, finished, count(total, "concept"))
                if self.draining:
                    pipeline.drain()
                await pipeline.generate()
        except ProviderUnusable as error:
            status, reason = "failed", str(error)
        except StaleFence:
            return None
        except TimeoutError:
            if not deadline.expired():
                raise
            status, reason = _overdue(
                active.pipeline, f"stopped after {settings.deadline:g} s, its deadline"
            )
        except asyncio.CancelledError:
            active.task.uncancel()
            if active.stop == "lost":
                return None
            if active.stop == "deadline":
                status, reason = _overdue(active.pipeline, "stopped by its executor's time limit")
            else:
                status = "cancelled" if active.stop == "cancelled" else "queued"
        except PartUnavailable as error:
            self._store_outage.failed(error)
            status, reason = await self._set_back(active, str(error))
        except Exception as error:
            # A plugin's bug ends this run, not the worker and its other runs.
            log.exception("run %s failed", claim.run_id)
            status, reason = "failed", f"{type(error).__name__}: {error}"
        else:
            status, reason = self._verdict(progress)
        active.settling = True
        span.ended(status)
        log.info("run %s is %s%s", claim.run_id, status, f": {reason}" if reason else "")
        return await self._settle(claim, progress, status, reason)

    async def _load(self, claim: Claim, progress: Progress) -> Pipeline:
        """What the store knows of a run, and who is to make the rest of it."""
        store = self.parts.store
        roadmap = await store.roadmap(claim.run_id)
        states = await store.concepts(claim.run_id, status=("completed", "failed", "skipped"))
        progress.total = roadmap.concept_count()
        progress.skipped = sum(state.status == "skipped" for state in states)
        progress.finished = len(states) - progress.skipped
        progress.failures = sum(state.status == "failed" for state in states)
        finished = frozenset(state.concept_id for state in states)
        existing = await store.artifact_steps(claim.run_id)
        return Pipeline(self.parts, claim, roadmap, existing, finished, progress)

    async def _set_back(self, active: _Active, why: str) -> tuple[RunStatus, str]:
        """What becomes of a run for which a part was missing: it waits a while for its turn.

        Where the part is there for claims and never for artifacts, as on a disk that is all
        but full, each try pays for calls that cannot be saved: the tries are bounded.
        """
        run_id = active.claim.run_id
        saved = active.pipeline is not None and active.pipeline.saved > 0
        tries = self._setbacks[run_id] = 1 if saved else self._setbacks.get(run_id, 0) + 1
        if tries >= self.parts.settings.run.poison_after:
            return "failed", f"given up after {tries} tries without one artifact saved: {why}"
        pause = BEAT * 2.0 ** (tries - 1) * random.uniform(0.5, 1.0)  # noqa: S311
        try:
            async with asyncio.timeout(pause):
                await self._drain_asked.wait()
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            active.task.uncancel()  # whoever stops it wants it handed back all the same
        return "queued", why

    def _verdict(self, progress: Progress) -> tuple[RunStatus, str | None]:
        failed, skipped, total = progress.failures, progress.skipped, progress.total
        if progress.finished + skipped < total:
            return "queued", None
        if not failed and not skipped:
            return "completed", None
        reasons = [f"{failed} of {count(total, 'concept')} failed"] if failed else []
        if skipped:
            reasons.append(f"{skipped} of {count(total, 'concept')} skipped")
        reason = ", ".join(reasons)
        too_many = failed > self.parts.settings.run.failure_threshold * total
        return ("failed" if too_many else "partial"), reason

    async def _settle(
        self, claim: Claim, progress: Progress, status: RunStatus, reason: str | None
    ) -> RunStatus | None:
        """Write how it ended, then tell it."""
        if status != "queued":
            self._setbacks.pop(claim.run_id, None)
        try:
            if status == "queued":
                await self.parts.store.hand_back(claim, reason)
            else:
                await self.parts.store.finish(claim, status, reason)
                progress.ended(status, reason)
        except StaleFence:
            return None
        except PartUnavailable as error:
            # Nobody renews its lease from here on, so whoever finds it goes on with it.
            self._store_outage.failed(error)
            log.info("run %s stays as it is until its lease ends", claim.run_id)
            return None
        if status == "queued":
            await self._submit(claim.run_id)
        await self._outbox.flush()
        return status

    async def _submit(self, run_id: str) -> None:
        """Give a run back to the queue; without its broker it waits in the store."""
        try:
            await self.parts.executor.submit(run_id)
        except PartUnavailable as error:
            log.warning("run %s waits in the store: %s", run_id, error)

    # -- stopping ------------------------------------------------------------------------

    def expire(self, run_id: str) -> bool:
        """Stop a run as its deadline does: queued again if it saved anything, else failed.

        Returns:
            Whether it is in work here.
        """
        self.stop_run(run_id, "deadline")
        return run_id in self._active

    def stop_run(self, run_id: str, why: Stop) -> None:
        """Stop one run if the worker works on it."""
        active = self._active.get(run_id)
        if active is not None:
            self._stop(active, why)

    def stop_runs(self, why: Stop) -> None:
        """Stop every run of the worker."""
        for active in self._active.values():
            self._stop(active, why)

    def _stop(self, active: _Active, why: Stop) -> None:
        # Once its end is being written there is nothing left to stop, only that to lose.
        if active.stop is None and not active.settling:
            active.stop = why
            active.task.cancel()

    async def drain(self, grace: float) -> None:
        """Take no more runs; let calls in flight end within ``grace`` seconds, and save them.

        What is then unfinished is handed back, to be resumed at its first missing artifact.
        """
        self._drain_asked.set()
        self._wake.set()
        for active in self._active.values():
            if active.pipeline is not None:
                active.pipeline.drain()
        tasks = [active.task for active in self._active.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        await self.stop()

    async def stop(self) -> None:
        """Stop every run at once and hand it back."""
        self._drain_asked.set()
        self._wake.set()
        self.stop_runs("stopped")
        tasks = [active.task for active in self._active.values()]
        if tasks:
            await asyncio.wait(tasks)

    async def serve_until_signalled(self, serving: "asyncio.Task[None]") -> int:
        """Wait for ``serving``; drain at the first SIGINT or SIGTERM, stop at the second.

        Every run can be resumed afterwards.

        Args:
            serving: the task that hands runs to the worker; it must end when the worker drains.

        Returns:
            The exit code of the process: 0, 130 after SIGINT, 143 after SIGTERM.
        """
        grace = self.parts.settings.run.grace

        async def drain() -> None:
            calls = self.parts.gauges.calls
            log.warning(
                "stopping: waiting up to %g s for %s in flight; press Ctrl-C again to stop now",
                grace,
                count(calls, "call"),
            )
            await self.drain(grace)

        return await wait_until_signalled(serving, drain=drain, stop=self.stop)

    # -- runs without an owner ---------------------------------------------------------------

    async def recover(self) -> None:
        """Queue the runs again that have lost their worker."""
        if self.draining:
            return
        try:
            await recover(self.parts.store, self.parts.settings, self.parts.executor)
        except PacelineError as error:
            log.warning("the search for runs without a worker failed: %s", error)

    def queued_runs(self) -> AsyncIterator[str]:
        """Ids of all queued runs of the worker's executor, to compare with a queue."""
        return queued_runs(self.parts.store, self.parts.settings)

    # -- the store as the queue ----------------------------------------------------------

    async def serve(self, *, only: Sequence[str] | None = None, poll: float = 0.5) -> None:
        """Claim queued runs from the store and work on them until the worker drains.

        Args:
            only: ids of the runs to work on; all queued runs of the executor if ``None``.
            poll: seconds between two looks at the store.
        """
        working: set[asyncio.Task[RunStatus | None]] = set()
        try:
            while not self.draining:
                self._wake.clear()
                claim = None
                if len(working) < self.record.concurrency:
                    claim = await self._claim_next(only)
                if claim is not None:
                    task = asyncio.get_running_loop().create_task(self.work_on(claim))
                    working.add(task)
                    task.add_done_callback(working.discard)
                    continue
                # `wait_for` of Python 3.11 loses a cancellation that comes as the wait ends.
                with suppress(TimeoutError):
                    async with asyncio.timeout(poll):
                        await self._wake.wait()
        finally:
            if working:
                await asyncio.wait(working)

    async def _claim_next(self, only: Sequence[str] | None) -> Claim | None:
        try:
            return await self._claimed(
                self.parts.store.claim_next(
                    self.record.executor,
                    self.record.worker_id,
                    lease=self.parts.settings.run.lease,
                    only=only,
                )
            )
        except PartUnavailable as error:
            self._store_outage.failed(error)
            await asyncio.sleep(BEAT)
            return None


def _overdue(pipeline: Pipeline | None, why: str) -> tuple[RunStatus, str]:
    """What becomes of a run whose time is up: one that gets nowhere is not tried for ever."""
    if pipeline is not None and pipeline.saved:
        return "queued", why
    return "failed", f"{why}, without one artifact saved"
