"""``Store`` on SQLite and PostgreSQL: what each module beside this one does, in one class."""

import asyncio
from collections.abc import Mapping, Sequence

from paceline import Artifact, Claim, ConceptState, Context, Roadmap, Run, Share, Store
from paceline.contracts.records import (
    Beat,
    Budget,
    ConceptStatus,
    Figures,
    Orphan,
    PoolFigures,
    ResumeOnly,
    RunStatus,
    WorkerRecord,
)
from paceline.contracts.share import EQUAL

from paceline_adapters.sql import budget, content, ownership, runs, schema, workers
from paceline_adapters.sql.engine import PATIENCE, Database, must_open
from paceline_adapters.sql.faults import is_database_error, is_passing, is_refusal
from paceline_adapters.sql.group_commit import GroupCommitter
from paceline_adapters.sql.saves import Save, write_batch
from paceline_adapters.sql.url import parse_url


class SqlStore(Store):
    """Runs and artifacts in SQL tables.

    Raises:
        SettingsError: ``store.url`` is wrong.
    """

    def __init__(self, context: Context) -> None:
        self._settings = context.settings.store
        self._lease = context.settings.run.lease
        address = parse_url(self._settings.url)
        shape = budget.pool_shape(
            self._settings,
            embedded=address.dialect == "sqlite",
            worker=bool(context.worker_id),
            limit=context.pool_limit,
        )
        self._database = Database(
            address,
            self._settings,
            lease=self._lease,
            size=shape.size,
            overflow=shape.overflow,
        )
        self._saves = GroupCommitter[Save](
            self._write_batch,
            passing=is_passing,
            refusal=is_refusal,
            translate=self._translated,
            patience=self._database.long_patience,
        )
        self._registered: dict[str, WorkerRecord] = {}

    async def open(self) -> None:
        """Connect and check the schema; SQLite's is made or upgraded here."""
        try:
            await self._check_schema()
        except BaseException:
            await self._database.dispose()
            raise

    async def _check_schema(self) -> None:
        address = self._database.address
        embedded = address.dialect == "sqlite"
        must_open(address)
        # A server that is not there is better said at once than waited for.
        patience = PATIENCE if embedded else 0.0
        version = await self._database.read(schema.version_of, patience=patience)
        if schema.check(version, address):
            return
        if not embedded:
            raise schema.needs_upgrade(version, address)
        await asyncio.to_thread(schema.upgrade, self._settings.url, self._settings)

    async def close(self) -> None:
        """Write what waits and disconnect."""
        try:
            await self._saves.close()
        finally:
            await self._database.dispose()

    # -- runs ----------------------------------------------------------------------------

    async def create_run(
        self,
        roadmap: Roadmap,
        *,
        executor: str,
        new: bool = False,
        key: str | None = None,
        share: Share = EQUAL,
    ) -> tuple[Run, bool]:
        """The roadmap's run, created if need be."""
        return await runs.create(
            self._database, roadmap, executor=executor, new=new, key=key, share=share
        )

    async def run(self, run_id: str) -> Run:
        """One run."""
        return await runs.one(self._database, run_id)

    async def runs(
        self,
        *,
        status: Sequence[RunStatus] = (),
        roadmap_id: str | None = None,
        tenants: Sequence[str] = (),
        limit: int = 100,
        before: str | None = None,
    ) -> Sequence[Run]:
        """Runs, newest first."""
        return await runs.page(
            self._database,
            status=status,
            roadmap_id=roadmap_id,
            tenants=tenants,
            limit=limit,
            before=before,
        )

    async def roadmap(self, run_id: str) -> Roadmap:
        """The roadmap that a run was created with."""
        return await content.roadmap(self._database, run_id)

    async def concepts(
        self,
        run_id: str,
        *,
        status: Sequence[ConceptStatus] = (),
        limit: int | None = None,
        after: str | None = None,
    ) -> Sequence[ConceptState]:
        """Concepts of a run."""
        return await content.concept_states(
            self._database, run_id, status=status, limit=limit, after=after
        )

    async def concept(self, run_id: str, concept_id: str) -> ConceptState | None:
        """One concept of a run."""
        return await content.one_concept(self._database, run_id, concept_id)

    async def artifact_steps(
        self, run_id: str, *, concepts: Sequence[str] | None = None
    ) -> Mapping[str, frozenset[str]]:
        """Which artifacts exist."""
        return await content.artifact_steps(self._database, run_id, concepts)

    async def artifacts(
        self, run_id: str, *, concept_id: str | None = None, step: str | None = None
    ) -> Sequence[Artifact]:
        """Artifacts with their content."""
        return await content.read_artifacts(
            self._database, run_id, concept_id=concept_id, step=step
        )

    async def totals(self, run_id: str) -> tuple[int, int, float | None]:
        """Prompt tokens, completion tokens and cost."""
        return await content.totals(self._database, run_id)

    # -- ownership -----------------------------------------------------------------------

    async def claim(self, run_id: str, worker_id: str, *, lease: float) -> Claim | None:
        """Become the owner of a run."""
        return await ownership.claim(self._database, run_id, worker_id, lease=lease)

    async def claim_next(
        self, executor: str, worker_id: str, *, lease: float, only: Sequence[str] | None = None
    ) -> Claim | None:
        """Become the owner of the oldest queued run."""
        return await ownership.claim_next(
            self._database, executor, worker_id, lease=lease, only=only
        )

    async def save(self, claim: Claim, artifact: Artifact, *, concept: ConceptState | None) -> None:
        """Save an artifact, together with whatever else waits to be saved."""
        if not await self._saves.submit(Save(claim, artifact, concept)):
            raise ownership.stale(claim)

    async def save_concept(self, claim: Claim, concept: ConceptState) -> None:
        """Record a concept's state, together with whatever else waits to be saved."""
        if not await self._saves.submit(Save(claim, None, concept)):
            raise ownership.stale(claim)

    async def finish(self, claim: Claim, status: RunStatus, reason: str | None = None) -> None:
        """End a run."""
        await ownership.finish(self._database, claim, status, reason)

    async def hand_back(self, claim: Claim, reason: str | None = None) -> None:
        """Give up ownership."""
        await ownership.hand_back(self._database, claim, reason)

    async def orphans(self, *, run_id: str | None = None, limit: int = 100) -> Sequence[Orphan]:
        """Running runs and what is known of their owners."""
        return await ownership.orphans(self._database, run_id=run_id, limit=limit)

    async def requeue_orphan(self, orphan: Orphan, *, poison_after: int) -> RunStatus | None:
        """Queue a run whose owner is gone."""
        return await ownership.requeue(self._database, orphan, poison_after=poison_after)

    async def reopen(self, run_id: str, *, executor: str, only: ResumeOnly | None = None) -> Run:
        """Queue an ended run again."""
        return await runs.reopen(self._database, run_id, executor=executor, only=only)

    async def request_cancel(self, run_id: str) -> Run:
        """Cancel a run, or ask its owner to."""
        return await runs.request_cancel(self._database, run_id)

    # -- workers -------------------------------------------------------------------------

    async def register(self, worker: WorkerRecord) -> None:
        """Add a worker."""
        self._registered[worker.worker_id] = worker
        await workers.register(self._database, worker, lease=self._lease)

    async def beat(self, worker_id: str, figures: Figures, *, lease: float) -> Beat:
        """Report figures, renew leases, learn what changed."""
        return await workers.beat(
            self._database,
            worker_id,
            figures,
            lease=lease,
            known=self._registered.get(worker_id),
        )

    async def deregister(self, worker_id: str) -> None:
        """Remove a worker."""
        self._registered.pop(worker_id, None)
        await workers.deregister(self._database, worker_id)

    async def workers(self, *, max_age: float = 15.0) -> Sequence[WorkerRecord]:
        """Workers that beat lately."""
        return await self._database.read(
            lambda connection: workers.live(connection, max_age=max_age)
        )

    # -- connections ---------------------------------------------------------------------

    def pool(self) -> PoolFigures:
        """The connections of this process."""
        return self._database.figures()

    async def budget(self) -> Budget:
        """The sum of connections over all processes."""
        return await budget.budget(self._database, self._settings)

    async def admit_workers(self, workers: Sequence[WorkerRecord]) -> tuple[int, str | None]:
        """Register workers about to start, with a share of the connections that fits."""
        return await budget.admit(self._database, self._settings, workers)

    async def _write_batch(self, batch: Sequence[Save]) -> set[int]:
        return await self._database.transaction(
            lambda connection: write_batch(connection, self._database.dialect, batch)
        )

    def _translated(self, error: BaseException) -> BaseException:
        return self._database.unavailable(error) if is_database_error(error) else error
