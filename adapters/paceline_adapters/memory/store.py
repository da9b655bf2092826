"""``Store`` in the memory of one process, for tests in virtual time and for trials."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from paceline import (
    Artifact,
    Claim,
    ConceptState,
    Roadmap,
    Run,
    StaleFence,
    StoreSettings,
)
from paceline.contracts.scope import Scope
from paceline.contracts.storage.records import (
    ENDED,
    NOTHING_REPLACED,
    RESUMABLE,
    Beat,
    Budget,
    Figures,
    JournalEntry,
    Orphan,
    PoolFigures,
    Replaced,
    ResumeOnly,
    RunStatus,
    WorkerRecord,
)
from paceline.contracts.storage.rules import RESUMED, poison_reason, requested_status
from paceline.contracts.storage.spending import Charge, Spent
from paceline.contracts.storage.timeline import OpenStep, StepTimes, open_step_times

from paceline_adapters.memory.controls import MemoryControls
from paceline_adapters.memory.outbox import Outbox
from paceline_adapters.memory.rows import Row
from paceline_adapters.memory.versions import MemoryVersions


class MemoryStore(MemoryVersions, MemoryControls):
    """A store that is lost when its process ends.

    It uses no thread and no socket, so it runs in virtual time. Every change happens in one step
    of the event loop, which makes it atomic.

    Args:
        settings: maximum and reserve of connections to report.
        clock: monotonic seconds; the time of the running loop if ``None``.
    """

    def __init__(
        self, settings: StoreSettings | None = None, *, clock: Callable[[], float] | None = None
    ) -> None:
        super().__init__(clock or (lambda: asyncio.get_running_loop().time()))
        self._settings = settings or StoreSettings()
        self._outbox = Outbox()
        self._running: dict[str, Row] = {}
        self._hidden: dict[str, Row] = {}
        self._workers: dict[str, tuple[WorkerRecord, float]] = {}
        self._registered: dict[str, WorkerRecord] = {}
        self._open_steps: dict[str, tuple[tuple[OpenStep, ...], datetime]] = {}

    async def open(self, *, create: bool = True) -> None:
        """Do nothing: there is no connection."""

    async def close(self) -> None:
        """Do nothing: no write is pending."""

    # -- ownership -----------------------------------------------------------------------

    async def claim(self, run_id: str, worker_id: str, *, lease: float) -> Claim | None:
        """Claim a run."""
        row = self._rows.get(run_id)
        if row is None or row.status not in ("queued", "running") or row.cancel_requested:
            return None
        if row.status == "running":
            if row.lease_until >= self._clock() or row.pause_requested is not None:
                return None
            row.takeovers = row.lost_owners()
            row.seconds += row.lease_until - row.claimed_at
        self._queues.drop(row)
        row.status, row.owner, row.reason, row.finished_at = "running", worker_id, None, None
        row.fence += 1
        row.claimed_at, row.lease_until = self._clock(), self._clock() + lease
        row.started_at = row.started_at or self._now()
        row.artifacts_at_claim = row.saves()
        row.reopen_revised()
        row.extended = False
        self._running[run_id] = row
        return Claim(
            run_id=run_id,
            roadmap_id=row.roadmap.roadmap_id,
            worker_id=worker_id,
            fence=row.fence,
            share=row.share,
        )

    async def claim_next(
        self, executor: str, worker_id: str, *, lease: float, only: Sequence[str] | None = None
    ) -> Claim | None:
        """Claim the oldest queued run."""
        run_id = self._queues.first(executor, only)
        return None if run_id is None else await self.claim(run_id, worker_id, lease=lease)

    async def save(
        self,
        claim: Claim,
        artifact: Artifact,
        *,
        concept: ConceptState | None,
        replaced: Replaced = NOTHING_REPLACED,
    ) -> None:
        """Save an artifact and its concept."""
        charge = Charge(
            concept_id=artifact.concept_id,
            step=artifact.step,
            spent=artifact.spent,
            seconds=artifact.seconds,
            phases=artifact.phases,
        )
        row = self._owned(claim, charge)
        made = replace(artifact, created_at=self._now())
        place, number = artifact.place, replaced.revision
        before = row.artifacts.get(place)
        with self._counting(row, place):
            if number is None:
                row.add_artifact(made, claim.fence)
            elif place in row.revisions and row.revisions[place].number == number:
                del row.revisions[place]
                row.add_version(made, claim.fence, replaced.stale)
            else:  # the request was replaced or removed
                row.charge(claim.fence, charge, self._now())
        if replaced.journal:
            row.journal.pop(place, None)
        self._put_concept(row, concept)
        if row.artifacts[place] is not before:
            self._count_artifact(row, made)
            self._add_artifact(row, row.artifacts[place])
        await asyncio.sleep(0)  # other tasks run during a save, as with other stores

    async def record(self, claim: Claim, entry: JournalEntry) -> None:
        """Record a result of a step."""
        row = self._owned(claim)
        row.journal[entry.concept_id, entry.step].setdefault((entry.version, entry.name), entry)
        await asyncio.sleep(0)

    async def save_concept(
        self, claim: Claim, concept: ConceptState, *, charge: Charge | None = None
    ) -> None:
        """Save the state of a concept."""
        row = self._owned(claim, charge)
        if charge is not None:
            self._charge(row, claim.fence, charge)
        self._put_concept(row, concept)
        await asyncio.sleep(0)

    def _put_concept(self, row: Row, concept: ConceptState | None) -> None:
        if concept is not None and concept.concept_id in row.concepts:
            row.concepts[concept.concept_id] = concept
            row.count_attempts(concept.concept_id)

    async def charge(self, claim: Claim, charge: Charge) -> None:
        """Record what a step has cost."""
        row = self._rows.get(claim.run_id)
        if row is not None:
            self._charge(row, claim.fence, charge)
        await asyncio.sleep(0)

    async def finish(self, claim: Claim, status: RunStatus, reason: str | None = None) -> RunStatus:
        """End a run, or queue it again if its scope was widened after the claim."""
        if status not in ENDED:
            raise ValueError(f"a run cannot end as {status!r}")
        row = self._owned(claim)
        if row.extended and status != "cancelled":
            status, reason = "queued", None
        self._release(row, status, reason)
        return status

    async def hand_back(self, claim: Claim, reason: str | None = None) -> RunStatus | None:
        """Queue the run again, or cancel or pause it if that was requested."""
        row = self._rows.get(claim.run_id)
        if row is None or not row.owned_by(claim):
            return None
        if row.saves() > row.artifacts_at_claim:
            row.takeovers = 0
        status, why = requested_status(row.pause_requested, cancel=row.cancel_requested)
        self._release(row, status, why or reason)
        return status

    def _owned(self, claim: Claim, charge: Charge | None = None) -> Row:
        """The row of a claim that owns its run; ``charge`` is kept if it does not."""
        row = self._rows.get(claim.run_id)
        if row is None or not row.owned_by(claim):
            if row is not None and charge is not None:
                self._charge(row, claim.fence, charge)
            raise StaleFence(
                f"run {claim.run_id}: {claim.worker_id} does not own it any more "
                f"(fence {claim.fence})"
            )
        return row

    def _charge(self, row: Row, fence: int, charge: Charge) -> None:
        with self._counting(row, (charge.concept_id, charge.step)):
            row.charge(fence, charge, self._now())

    def _release(self, row: Row, status: RunStatus, reason: str | None, idle: float = 0.0) -> None:
        """End the claim of a row; its owner was last alive ``idle`` seconds ago."""
        if self._running.pop(row.run_id, None) is not None:
            row.seconds += self._clock() - row.claimed_at - idle
        self._queues.drop(row)
        row.status, row.reason, row.owner, row.pause_requested = status, reason, None, None
        row.short_of, row.held = None, False
        row.finished_at = self._now() if status in ENDED else None
        if status == "queued":
            self._queues.put(row)
        elif status in ENDED:
            self._add_end(row)

    def _lapsed(self, row: Row) -> bool:
        return row.lease_until < self._clock() or row.owner not in self._workers

    async def orphans(self, *, run_id: str | None = None, limit: int = 100) -> Sequence[Orphan]:
        """List running runs and their owners, oldest lease first."""
        rows = [row for row in self._running.values() if run_id in (None, row.run_id)]
        rows.sort(key=lambda row: (row.lease_until, row.run_id))
        found: list[Orphan] = []
        for row in rows[:limit]:
            worker = self._workers.get(row.owner or "")
            found.append(
                Orphan(
                    run_id=row.run_id,
                    executor=row.executor,
                    fence=row.fence,
                    owner=None if worker is None else worker[0].identity,
                    lapsed=self._lapsed(row),
                    lease_left=0.0
                    if self._lapsed(row)
                    else max(0.0, row.lease_until - self._clock()),
                )
            )
        return found

    async def requeue_orphan(self, orphan: Orphan, *, poison_after: int) -> RunStatus | None:
        """Queue a run that lost its owner."""
        row = self._running.get(orphan.run_id)
        if row is None or row.fence != orphan.fence or (orphan.lapsed and not self._lapsed(row)):
            return None
        row.takeovers = row.lost_owners()
        status, reason = requested_status(row.pause_requested, cancel=row.cancel_requested)
        if status == "queued" and row.takeovers >= poison_after:
            status, reason = "failed", poison_reason(row.takeovers)
        worker, beat_at = self._workers.get(row.owner or "", (None, self._clock()))
        if worker is not None:
            # Calls may have begun after the last beat, so the sums are an estimate in any case.
            spent = worker.figures.in_flight.get(row.run_id, Spent(estimated=True))
            self._charge(row, row.fence, Charge(concept_id="", step="", spent=spent))
        self._release(row, status, reason, idle=self._clock() - beat_at)
        return status

    async def reopen(self, run_id: str, *, executor: str, only: ResumeOnly | None = None) -> Run:
        """Queue an ended or paused run again."""
        row = self._row(run_id)
        if row.status == "queued" or row.status in RESUMABLE:
            if row.status != "queued":
                row.reason, row.takeovers, row.cancel_requested = None, 0, False
                resumed = RESUMED[only]
                for id_, concept in row.concepts.items():
                    if concept.status in resumed:
                        status = resumed[concept.status]
                        row.concepts[id_] = ConceptState(
                            concept_id=id_, status=status, attempts=concept.attempts
                        )
            self._queues.drop(row)
            row.executor = executor
            self._release(row, "queued", row.reason)
        return row.as_run(self._clock())

    async def extend(
        self, run: Run, scope: Scope, *, executor: str, roadmap: Roadmap, steps: Sequence[str]
    ) -> Run | None:
        """Widen the scope of a run, and reopen completed concepts that lack a step."""
        row = self._row(run.run_id)
        if row.scope not in (run.scope, scope):
            return None
        new = {
            id_: ConceptState(concept_id=id_, status="pending")
            for id_ in scope.concepts_of(roadmap)
        }
        row.concepts = new | row.concepts
        row.extended = row.extended or (row.status == "running" and row.scope != scope)
        row.scope = scope
        for id_, state in row.concepts.items():
            if state.status == "completed" and any(
                (id_, one) not in row.artifacts for one in steps
            ):
                row.concepts[id_] = replace(state, status="pending")
        pending = any(state.status == "pending" for state in row.concepts.values())
        if row.status == "completed" and pending:
            row.takeovers, row.cancel_requested, row.executor = 0, False, executor
            self._release(row, "queued", None)
        return row.as_run(self._clock())

    async def request_cancel(self, run_id: str) -> Run:
        """Cancel a run, or ask its owner to cancel it."""
        row = self._row(run_id)
        if row.status not in ENDED:
            row.cancel_requested = True
            if row.status != "running" or row.lease_until < self._clock():
                self._release(row, "cancelled", row.reason)
        return row.as_run(self._clock())

    async def request_pause(self, run_id: str, reason: str) -> Run:
        """Pause a run, or ask its owner to pause it."""
        row = self._row(run_id)
        if row.status in ("queued", "running"):
            if row.status == "queued" or row.lease_until < self._clock():
                self._release(row, "paused", reason)
            else:
                row.pause_requested = reason
        return row.as_run(self._clock())

    # -- workers -------------------------------------------------------------------------

    async def register(self, worker: WorkerRecord) -> None:
        """Add a worker."""
        self._registered[worker.worker_id] = worker
        self._workers[worker.worker_id] = (worker, self._clock())

    async def beat(self, worker_id: str, figures: Figures, *, lease: float) -> Beat:
        """Report figures and renew leases."""
        record = self._registered.get(worker_id)
        if record is not None:
            self._workers[worker_id] = (
                replace(record, figures=replace(figures, open_steps=())),
                self._clock(),
            )
            self._open_steps[worker_id] = figures.open_steps, self._now()
        owned = [
            row
            for row in (self._running.get(run_id) for run_id in figures.runs)
            if row is not None and row.owner == worker_id
        ]
        for row in owned:
            row.lease_until = self._clock() + lease
        return Beat(
            cancelled=frozenset(row.run_id for row in owned if row.cancel_requested),
            paused=frozenset(row.run_id for row in owned if row.pause_requested is not None),
            lost=frozenset(figures.runs).difference(row.run_id for row in owned),
            controls=(await self.controls()).version,
            drain=worker_id in self._draining,
        )

    async def deregister(self, worker_id: str) -> None:
        """Remove a worker."""
        self._registered.pop(worker_id, None)
        self._workers.pop(worker_id, None)
        self._draining.discard(worker_id)
        self._open_steps.pop(worker_id, None)
        for row in self._running.values():
            if row.owner == worker_id:
                row.lease_until = self._clock() - 1.0

    async def timeline(self, run_id: str, *, concepts: Sequence[str]) -> Sequence[StepTimes]:
        """List when the steps of some concepts made their artifacts, or failed."""
        row, wanted = self._rows.get(run_id), set(concepts)
        if row is None:
            return []
        steps, beat_at = self._open_steps.get(row.owner or "", ((), self._now()))
        times = row.timeline(wanted) + [
            open_step_times(step, beat_at)
            for step in steps
            if step.run_id == run_id and step.concept_id in wanted
        ]
        return sorted(times, key=lambda one: (one.ended_at, one.concept_id, one.step))

    async def workers(self, *, max_age: float = 15.0) -> Sequence[WorkerRecord]:
        """List workers with a recent beat."""
        ages = [(worker, self._clock() - beat_at) for worker, beat_at in self._workers.values()]
        return [
            replace(worker, beat_age=age)
            for worker, age in ages
            if age <= max_age and not worker.identity.is_gone()
        ]

    # -- connections ---------------------------------------------------------------------

    def pool(self) -> PoolFigures:
        """Return zeros: there are no connections."""
        return PoolFigures(limit=0)

    async def budget(self) -> Budget:
        """Return a budget without a limit."""
        registered = sum(worker.pool_max for worker in await self.workers())
        return Budget(server_max=None, reserve=self._settings.reserve, registered=registered)

    async def admit_workers(self, workers: Sequence[WorkerRecord]) -> tuple[int, str | None]:
        """Register workers that are about to start. Every number of connections fits."""
        limit = self._settings.pool_size + self._settings.max_overflow
        for worker in workers:
            await self.register(replace(worker, pool_max=limit))
        return limit, None
