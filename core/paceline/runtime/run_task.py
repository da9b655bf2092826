"""One claimed run on a worker: from the claim to its end, or until the worker hands it back."""

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Literal

from paceline import log_context
from paceline.admission.live_controls import held
from paceline.calls.deadline import Deadline
from paceline.contracts.controls import Pause
from paceline.contracts.storage.budgets import Shortage
from paceline.contracts.storage.records import Claim, RunStatus
from paceline.contracts.storage.versions import Revision
from paceline.errors import (
    PacelineError,
    PartUnavailable,
    ProviderUnusable,
    StaleFence,
    StoreLost,
    UsageError,
)
from paceline.generation.event_publisher import EventPublisher
from paceline.generation.parts import Parts
from paceline.generation.pipeline import Pipeline
from paceline.generation.progress import Progress
from paceline.generation.run_scope import RunScope
from paceline.runtime.outage_log import OutageLog
from paceline.runtime.unsaved_charges import UnsavedCharges
from paceline.text import count

log = logging.getLogger("paceline.worker")

#: Why a run is stopped.
Stop = Literal["cancelled", "deadline", "lost", "stopped"]
#: Seconds of the first pause after a part was unreachable; it doubles.
FIRST_PAUSE = 2.0


class Setbacks:
    """Counts how often in a row a run stopped because a part was unreachable.

    Attempts that saved an artifact do not count.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, run_id: str, *, saved: bool) -> int:
        """Count one more; returns the number of setbacks in a row."""
        self._counts[run_id] = 1 if saved else self._counts.get(run_id, 0) + 1
        return self._counts[run_id]

    def forget(self, run_id: str) -> None:
        """Forget a run that has ended."""
        self._counts.pop(run_id, None)


class RunTask:
    """Works on one claimed run.

    Args:
        parts: the worker's parts.
        claim: the claim.
        publisher: publishes the run's events.
        store_outage: logs that the store is unreachable.
        setbacks: counts setbacks, over all claims of this worker.
        charges: what runs of this worker spent without an artifact.
        draining: set when the worker accepts no more runs.
    """

    def __init__(
        self,
        parts: Parts,
        claim: Claim,
        *,
        publisher: EventPublisher,
        store_outage: OutageLog,
        setbacks: Setbacks,
        charges: UnsavedCharges,
        draining: asyncio.Event,
    ) -> None:
        self._parts = parts
        self._claim = claim
        self._publisher = publisher
        self._store_outage = store_outage
        self._setbacks = setbacks
        self._charges = charges
        self._draining = draining
        self._deadline = Deadline(parts.settings.run.deadline)
        self._pipeline: Pipeline | None = None
        self._stop: Stop | None = None
        self._settling = False
        self.task = asyncio.get_running_loop().create_task(self._run())

    def stop(self, why: Stop) -> None:
        """Stop the run and hand it back; calls in flight are cancelled."""
        # While the end is being written there is nothing left to stop.
        if self._stop is None and not self._settling:
            self._stop = why
            self.task.cancel()

    def drain(self) -> None:
        """Start no further call; calls in flight end, and their answers are saved."""
        if self._pipeline is not None:
            self._pipeline.drain()

    def controls_changed(self, before: Sequence[Pause]) -> None:
        """Publish pauses that are new or lifted; hold the run if its tenant is paused.

        Args:
            before: the pauses that applied before.
        """
        pipeline = self._pipeline
        if pipeline is None or self._settling:
            return
        now = self._parts.controls.now
        pause = now.pause_of_run(self._claim.share.tenant)
        if pause is not None and pause.target.scope == "tenant":
            pipeline.pause(held(pause))
            return
        known = {pause.target for pause in before}
        for pause in now.pauses:
            if pause.target.scope != "tenant" and pause.target not in known:
                pipeline.progress.notice(pause.describe())
        left = {pause.target for pause in now.pauses}
        for pause in before:
            if pause.target.scope != "tenant" and pause.target not in left:
                pipeline.progress.notice(f"{pause.target.describe()} no longer paused")

    async def _run(self) -> RunStatus | None:
        log_context.bind(run_id=self._claim.run_id, worker_id=self._claim.worker_id)
        with self._parts.telemetry.run(self._claim) as span:
            progress = Progress(self._claim, total=0, publisher=self._publisher)
            ended = await self._generate(progress)
            self._settling = True
            self._parts.gauges.trouble.pop(self._claim.run_id, None)
            await self._charge()
            if ended is None:
                return None
            status, reason = ended
            span.ended(status)
            because = f": {reason}" if reason else ""
            log.info("run %s is %s%s", self._claim.run_id, status, because)
            return await self._settle(progress, status, reason)

    async def _generate(self, progress: Progress) -> tuple[RunStatus, str | None] | None:
        """Generate the run; returns its new status, or ``None`` if it has another owner."""
        seconds, deadline = self._parts.settings.run.deadline, self._deadline
        try:
            async with deadline:
                with deadline.working():
                    pipeline = self._pipeline = await self._load(progress)
                progress.snapshot()
                log.info(
                    "run %s: %d of %s done",
                    self._claim.run_id,
                    progress.finished,
                    count(progress.total, "concept"),
                )
                if self._draining.is_set():
                    pipeline.drain()
                self.controls_changed(())
                await pipeline.generate()
        except (ProviderUnusable, UsageError) as error:
            return "failed", str(error)
        except (StaleFence, StoreLost):
            return None
        except TimeoutError:
            if not deadline.expired():
                raise
            return self._overdue(f"stopped after {seconds:g} s (run.deadline)")
        except asyncio.CancelledError:
            self.task.uncancel()
            if self._stop == "lost":
                return None
            if self._stop == "deadline":
                why = "stopped by the time limit of the executor"
                if not self._deadline.calls:  # it only waited for admission
                    return "queued", why
                return self._overdue(why)
            return ("cancelled" if self._stop == "cancelled" else "queued"), None
        except PartUnavailable as error:
            self._store_outage.failed(error)
            return await self._set_back(str(error))
        except Exception as error:
            # A plugin's bug ends this run, but not the worker and its other runs.
            log.exception("run %s failed", self._claim.run_id)
            return "failed", f"{type(error).__name__}: {error}"
        return self._verdict(progress)

    async def _load(self, progress: Progress) -> Pipeline:
        """Read the state of the run from the store."""
        store, run_id = self._parts.store, self._claim.run_id
        run, roadmap = await store.run(run_id), await store.roadmap(run_id)
        states = await store.concepts(run_id, status=("completed", "failed", "skipped"))
        existing = await store.artifact_steps(run_id)
        revisions: dict[str, dict[str, Revision]] = {}
        for one in await store.revisions(run_id):
            revisions.setdefault(one.concept_id, {})[one.step] = one
        work = RunScope.of(run, roadmap, self._parts.steps)
        states = [state for state in states if not work.lacks_steps(state, existing)]
        progress.total = run.total
        progress.skipped = sum(state.status == "skipped" for state in states)
        progress.finished = len(states) - progress.skipped
        progress.failures = sum(state.status == "failed" for state in states)
        finished = work.outside.union(state.concept_id for state in states)
        return Pipeline(
            self._parts,
            self._claim,
            roadmap,
            existing,
            finished,
            progress,
            work.steps,
            run.context,
            self._deadline,
            revisions,
        )

    def _overdue(self, why: str) -> tuple[RunStatus, str]:
        """Queue a run again at its deadline if it saved anything; else it fails."""
        if self._pipeline is not None and self._pipeline.saved:
            return "queued", why
        return "failed", f"{why} before it saved an artifact"

    async def _set_back(self, why: str) -> tuple[RunStatus, str]:
        """Pause a run after a part was unreachable, then queue it again.

        If claims succeed and saves do not, for example on a nearly full disk, each attempt
        pays for calls that cannot be saved. So the number of attempts is bounded.
        """
        saved = self._pipeline is not None and self._pipeline.saved > 0
        setbacks = self._setbacks.add(self._claim.run_id, saved=saved)
        if setbacks >= self._parts.settings.run.poison_after:
            return "failed", f"failed {setbacks} times before it saved an artifact: {why}"
        pause = FIRST_PAUSE * 2.0 ** (setbacks - 1) * random.uniform(0.5, 1.0)  # noqa: S311
        try:
            async with asyncio.timeout(pause):
                await self._draining.wait()
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            self.task.uncancel()  # stopped during the pause: hand it back all the same
        return "queued", why

    def _verdict(self, progress: Progress) -> tuple[RunStatus, str | None]:
        failed, skipped, total = progress.failures, progress.skipped, progress.total
        if progress.finished + skipped < total:
            paused = None if self._pipeline is None else self._pipeline.paused
            return ("queued", None) if paused is None else ("paused", str(paused))
        if not failed and not skipped:
            return "completed", None
        reasons = [f"{failed} of {count(total, 'concept')} failed"] if failed else []
        if skipped:
            reasons.append(f"{skipped} of {count(total, 'concept')} skipped")
        if failed and self._pipeline is not None and self._pipeline.advice is not None:
            reasons.append(self._pipeline.advice)
        too_many = failed > self._parts.settings.run.failure_threshold * total
        return ("failed" if too_many else "partial"), ", ".join(reasons)

    async def _settle(
        self, progress: Progress, status: RunStatus, reason: str | None
    ) -> RunStatus | None:
        """Write the new status, then publish it."""
        store, run_id = self._parts.store, self._claim.run_id
        if status != "queued":
            self._setbacks.forget(run_id)
        now: RunStatus | None = status
        try:
            if status == "queued":
                now = await store.hand_back(self._claim, reason)
            elif status == "paused":
                now = await self._pause(str(reason))
            else:
                now = await store.finish(self._claim, status, reason)
        except (StaleFence, StoreLost):
            return None
        except PartUnavailable as error:
            # This worker no longer renews the lease, so another one takes the run over.
            self._store_outage.failed(error)
            log.info("run %s keeps its status until its lease expires", run_id)
            return None
        if now == "paused":
            reason = await self._reason(reason)
        if now == "queued":
            try:
                await self._parts.executor.submit(run_id)
            except PartUnavailable as error:
                log.warning("run %s waits in the store: %s", run_id, error)
        elif now == "paused":
            progress.paused(reason)
        elif now is not None:
            progress.ended(now, reason)
        await self._publisher.flush()
        return now

    async def _pause(self, reason: str) -> RunStatus | None:
        """Pause the run, because the strategy said so."""
        store = self._parts.store
        paused = None if self._pipeline is None else self._pipeline.paused
        if paused is not None and paused.short_of is not None:
            return await store.pause_short(self._claim, Shortage.from_json(paused.short_of), reason)
        if paused is not None and paused.held:
            return await store.pause_held(self._claim, reason)
        await store.request_pause(self._claim.run_id, reason)
        return await store.hand_back(self._claim)

    async def _reason(self, reason: str | None) -> str | None:
        """The reason of the paused run: another request may have paused it meanwhile."""
        try:
            return (await self._parts.store.run(self._claim.run_id)).reason
        except PacelineError:
            return reason

    async def _charge(self) -> None:
        """Record what was spent without an artifact, also if the run has another owner now."""
        if self._pipeline is not None:
            self._charges.add(self._claim, self._pipeline.unsaved)
        try:
            await self._charges.write()
        except StoreLost:
            return  # the worker stops and says why
        except PartUnavailable as error:
            self._store_outage.failed(error)
