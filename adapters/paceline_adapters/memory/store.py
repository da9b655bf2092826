"""``Store`` in the memory of one process, for tests in virtual time and for trials."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from paceline import Artifact, Claim, ConceptState, Run, StaleFence, StoreSettings
from paceline.contracts.records import (
    ENDED,
    Beat,
    Budget,
    Figures,
    Orphan,
    PoolFigures,
    ResumeOnly,
    RunStatus,
    WorkerRecord,
)
from paceline.contracts.store_rules import RESUMED, poison_reason

from paceline_adapters.memory.rows import Row
from paceline_adapters.memory.runs import MemoryRuns


class MemoryStore(MemoryRuns):
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
        self._running: dict[str, Row] = {}
        self._workers: dict[str, tuple[WorkerRecord, float]] = {}
        self._registered: dict[str, WorkerRecord] = {}

    async def open(self) -> None:
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
            if row.lease_until >= self._clock():
                return None
            row.takeovers = row.lost_owners()
        self._queues.drop(row)
        row.status, row.owner, row.reason, row.finished_at = "running", worker_id, None, None
        row.fence += 1
        row.lease_until = self._clock() + lease
        row.started_at = row.started_at or self._now()
        row.artifacts_at_claim = len(row.artifacts)
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

    async def save(self, claim: Claim, artifact: Artifact, *, concept: ConceptState | None) -> None:
        """Save an artifact and its concept."""
        row = self._owned(claim)
        made = replace(artifact, created_at=self._now())
        row.artifacts.setdefault((artifact.concept_id, artifact.step), made)
        if concept is not None and concept.concept_id in row.concepts:
            row.concepts[concept.concept_id] = concept
        await asyncio.sleep(0)  # other tasks run during a save, as with other stores

    async def save_concept(self, claim: Claim, concept: ConceptState) -> None:
        """Save the state of a concept."""
        row = self._owned(claim)
        if concept.concept_id in row.concepts:
            row.concepts[concept.concept_id] = concept
        await asyncio.sleep(0)

    async def finish(self, claim: Claim, status: RunStatus, reason: str | None = None) -> None:
        """End a run."""
        if status not in ENDED:
            raise ValueError(f"a run cannot end as {status!r}")
        self._release(self._owned(claim), status, reason)

    async def hand_back(self, claim: Claim, reason: str | None = None) -> None:
        """Queue the run again, without an owner, if the claim still owns it."""
        row = self._rows.get(claim.run_id)
        if row is not None and row.owned_by(claim):
            if len(row.artifacts) > row.artifacts_at_claim:
                row.takeovers = 0
            self._release(row, "cancelled" if row.cancel_requested else "queued", reason)

    def _owned(self, claim: Claim) -> Row:
        row = self._rows.get(claim.run_id)
        if row is None or not row.owned_by(claim):
            raise StaleFence(
                f"run {claim.run_id}: {claim.worker_id} does not own it any more "
                f"(fence {claim.fence})"
            )
        return row

    def _release(self, row: Row, status: RunStatus, reason: str | None) -> None:
        self._running.pop(row.run_id, None)
        self._queues.drop(row)
        row.status, row.reason, row.owner = status, reason, None
        row.finished_at = self._now() if status in ENDED else None
        if status == "queued":
            self._queues.put(row)

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
                )
            )
        return found

    async def requeue_orphan(self, orphan: Orphan, *, poison_after: int) -> RunStatus | None:
        """Queue a run that lost its owner."""
        row = self._running.get(orphan.run_id)
        if row is None or row.fence != orphan.fence or (orphan.lapsed and not self._lapsed(row)):
            return None
        row.takeovers = row.lost_owners()
        if row.cancel_requested:
            self._release(row, "cancelled", None)
        elif row.takeovers >= poison_after:
            self._release(row, "failed", poison_reason(row.takeovers))
        else:
            self._release(row, "queued", None)
        return row.status

    async def reopen(self, run_id: str, *, executor: str, only: ResumeOnly | None = None) -> Run:
        """Queue an ended run again."""
        row = self._row(run_id)
        if row.status == "queued" or (row.status in ENDED and row.status != "completed"):
            if row.status != "queued":
                row.reason, row.takeovers, row.cancel_requested = None, 0, False
                resumed = RESUMED[only]
                for id_, concept in row.concepts.items():
                    if concept.status in resumed:
                        status = resumed[concept.status]
                        row.concepts[id_] = ConceptState(concept_id=id_, status=status)
            self._queues.drop(row)
            row.executor = executor
            self._release(row, "queued", row.reason)
        return row.as_run()

    async def request_cancel(self, run_id: str) -> Run:
        """Cancel a run, or ask its owner to cancel it."""
        row = self._row(run_id)
        if row.status not in ENDED:
            row.cancel_requested = True
            if row.status == "queued" or row.lease_until < self._clock():
                self._release(row, "cancelled", row.reason)
        return row.as_run()

    # -- workers -------------------------------------------------------------------------

    async def register(self, worker: WorkerRecord) -> None:
        """Add a worker."""
        self._registered[worker.worker_id] = worker
        self._workers[worker.worker_id] = (worker, self._clock())

    async def beat(self, worker_id: str, figures: Figures, *, lease: float) -> Beat:
        """Report figures and renew leases."""
        record = self._registered.get(worker_id)
        if record is not None:
            self._workers[worker_id] = (replace(record, figures=figures), self._clock())
        owned = [
            row
            for row in (self._running.get(run_id) for run_id in figures.runs)
            if row is not None and row.owner == worker_id
        ]
        for row in owned:
            row.lease_until = self._clock() + lease
        return Beat(
            cancelled=frozenset(row.run_id for row in owned if row.cancel_requested),
            lost=frozenset(figures.runs).difference(row.run_id for row in owned),
        )

    async def deregister(self, worker_id: str) -> None:
        """Remove a worker."""
        self._registered.pop(worker_id, None)
        self._workers.pop(worker_id, None)
        for row in self._running.values():
            if row.owner == worker_id:
                row.lease_until = self._clock() - 1.0

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
