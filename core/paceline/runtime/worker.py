"""One process that works on runs: it registers, beats, claims, and stops tidily."""

import asyncio
import logging
import random
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import psutil

from paceline import log_context
from paceline.contracts.records import Claim, Figures, RunStatus, WorkerRecord
from paceline.contracts.telemetry import Span
from paceline.errors import (
    PacelineError,
    PartUnavailable,
    ProviderUnusable,
    StaleFence,
)
from paceline.runtime.event_publisher import EventPublisher
from paceline.runtime.outage_log import OutageLog
from paceline.runtime.parts import Parts
from paceline.runtime.pipeline import Pipeline
from paceline.runtime.progress import Progress
from paceline.runtime.recovery import recover
from paceline.text import count

log = logging.getLogger("paceline.runtime.worker")

#: Seconds between beats at most: a cancel request arrives, and a dead neighbour is seen, soon.
BEAT = 2.0
#: Beats within one lease at least: two of them may be late or lost.
BEATS_IN_A_LEASE = 4
#: Beats between two looks for runs whose owner is gone.
RECOVER_EVERY = 3

Stop = Literal["cancelled", "deadline", "lost", "stopped"]


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
        self._beaten_at = asyncio.get_running_loop().time()
        self._events_at_beat = 0
        self._unbeaten: PacelineError | None = None
        self._store_away = OutageLog(log, "it is tried again, and runs wait")

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
                log.info("run %s goes on at %d/%d concepts", claim.run_id, finished, total)
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
            self._store_away.begins(error)
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
        states = await store.concepts(claim.run_id, status=("completed", "failed"))
        progress.total = roadmap.concept_count()
        progress.finished = len(states)
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
        if progress.finished < progress.total:
            return "queued", None
        failed, total = progress.failures, progress.total
        if not failed:
            return "completed", None
        reason = f"{failed} of {count(total, 'concept')} failed"
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
            self._store_away.begins(error)
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
        active = self._active.get(run_id)
        if active is not None:
            self._stop(active, "deadline")
        return active is not None

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
        for active in self._active.values():
            self._stop(active, "stopped")
        tasks = [active.task for active in self._active.values()]
        if tasks:
            await asyncio.wait(tasks)

    # -- beats ---------------------------------------------------------------------------

    async def beat_for_ever(self) -> None:
        """Report, renew leases, learn of cancel requests, and look after orphans."""
        # At once: a worker that replaces a killed one goes on where that one was.
        await self._recover()
        beats = 0
        every = min(BEAT, self.parts.settings.run.lease / BEATS_IN_A_LEASE)
        while True:
            await asyncio.sleep(every)
            try:
                await self._beat()
            except PacelineError as error:
                self._store_away.begins(error)
                self._unbeaten = error
                self._give_up_lapsed()
                continue
            self._unbeaten = None
            self._store_away.ends()
            beats += 1
            if beats % RECOVER_EVERY == 0:
                await self._recover()

    async def until_cut_off(self, seconds: float) -> NoReturn:
        """Wait for ever, or until the store has taken no beat for so many seconds.

        Raises:
            PartUnavailable: the store can be read perhaps, but takes nothing.
        """
        while True:
            await asyncio.sleep(BEAT)
            silent = asyncio.get_running_loop().time() - self._beaten_at
            if self._unbeaten is not None and silent > seconds:
                raise PartUnavailable(str(self._unbeaten))

    async def _recover(self) -> None:
        if self.draining:
            return
        try:
            await recover(self.parts.store, self.parts.settings, self.parts.executor)
        except PacelineError as error:
            log.warning("orphaned runs were not looked for: %s", error)

    async def _beat(self) -> None:
        answer = await self.parts.store.beat(
            self.record.worker_id, self.figures(), lease=self.parts.settings.run.lease
        )
        now = asyncio.get_running_loop().time()
        self._beaten_at = now
        self._events_at_beat = self.parts.gauges.events
        for run_id in answer.lost | answer.cancelled:
            active = self._active.get(run_id)
            if active is not None:
                self._stop(active, "lost" if run_id in answer.lost else "cancelled")

    def _give_up_lapsed(self) -> None:
        """Stop paying for runs that others may own by now."""
        silent = asyncio.get_running_loop().time() - self._beaten_at
        if silent > self.parts.settings.run.lease:
            for active in self._active.values():
                self._stop(active, "lost")

    def figures(self) -> Figures:
        """What this process is doing now."""
        gauges, pool = self.parts.gauges, self.parts.store.pool()
        seconds = max(asyncio.get_running_loop().time() - self._beaten_at, 0.1)
        return Figures(
            runs=tuple(sorted(gauges.runs)),
            concepts=gauges.concepts,
            calls=gauges.calls,
            connections=pool.in_use,
            connections_peak=pool.peak,
            checkout_waits=pool.waits,
            checkout_timeouts=pool.timeouts,
            busy_waits=pool.busy,
            events=gauges.events,
            events_per_second=(gauges.events - self._events_at_beat) / seconds,
            strategy=self.parts.strategy.explain(),
            rss=psutil.Process().memory_info().rss,
        )

    # -- the store as the queue ----------------------------------------------------------

    async def serve(
        self, executor: str, *, only: Sequence[str] | None = None, poll: float = 0.5
    ) -> None:
        """Claim queued runs of an executor and work on them, until drained.

        Args:
            executor: the name that runs were submitted under.
            only: work on these runs alone.
            poll: seconds between looks at the store while there is room for more.
        """
        working: set[asyncio.Task[RunStatus | None]] = set()
        try:
            while not self.draining:
                self._wake.clear()
                claim = None
                if len(working) < self.record.concurrency:
                    claim = await self._claim_next(executor, only)
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

    async def _claim_next(self, executor: str, only: Sequence[str] | None) -> Claim | None:
        try:
            return await self._claimed(
                self.parts.store.claim_next(
                    executor, self.record.worker_id, lease=self.parts.settings.run.lease, only=only
                )
            )
        except PartUnavailable as error:
            self._store_away.begins(error)
            await asyncio.sleep(BEAT)
            return None


def _overdue(pipeline: Pipeline | None, why: str) -> tuple[RunStatus, str]:
    """What becomes of a run whose time is up: one that gets nowhere is not tried for ever."""
    if pipeline is not None and pipeline.saved:
        return "queued", why
    return "failed", f"{why}, without one artifact saved"
