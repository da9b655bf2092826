"""Concepts and artifacts in SQL: save and read."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from paceline import Artifact, Claim, ConceptState
from paceline.contracts.storage.records import (
    NOTHING_REPLACED,
    ConceptStatus,
    JournalEntry,
    Replaced,
    RunPace,
)
from paceline.contracts.storage.spending import Charge, RunSpending
from paceline.contracts.storage.store import ArtifactStore
from paceline.contracts.storage.timeline import StepTimes
from sqlalchemy import select

from paceline_adapters.sql.artifact_rows import as_current
from paceline_adapters.sql.charges import read_spending
from paceline_adapters.sql.engine import Database
from paceline_adapters.sql.group_commit import GroupCommitter
from paceline_adapters.sql.journal import read_entries
from paceline_adapters.sql.ownership import stale_fence
from paceline_adapters.sql.paces import read_paces
from paceline_adapters.sql.run_rows import read_run
from paceline_adapters.sql.saves import Save
from paceline_adapters.sql.tables import AnyRow, artifacts, concepts
from paceline_adapters.sql.timeline import read_timeline

_CONCEPT_COLUMNS = (
    concepts.c.concept_id,
    concepts.c.status,
    concepts.c.reason,
    concepts.c.attempts,
    concepts.c.last_answer,
)


class SqlArtifacts(ArtifactStore):
    """The concepts and artifacts of an SQL store."""

    _database: Database
    _saves: GroupCommitter[Save]

    async def save(
        self,
        claim: Claim,
        artifact: Artifact,
        *,
        concept: ConceptState | None,
        replaced: Replaced = NOTHING_REPLACED,
    ) -> None:
        """Save an artifact and its concept, in one transaction with other pending saves."""
        if not await self._saves.submit(Save(claim, artifact, concept, replaced=replaced)):
            raise stale_fence(claim)

    async def record(self, claim: Claim, entry: JournalEntry) -> None:
        """Record a result of a step, in one transaction with other pending saves."""
        if not await self._saves.submit(Save(claim, entry=entry)):
            raise stale_fence(claim)

    async def journal(self, run_id: str, concept_id: str) -> Sequence[JournalEntry]:
        """Return the recorded results of a concept, oldest first."""
        return await self._database.read(
            lambda connection: read_entries(connection, run_id, concept_id)
        )

    async def save_concept(
        self, claim: Claim, concept: ConceptState, *, charge: Charge | None = None
    ) -> None:
        """Save the state of a concept, in one transaction with other pending saves."""
        if not await self._saves.submit(Save(claim, concept=concept, charge=charge)):
            raise stale_fence(claim)

    async def charge(self, claim: Claim, charge: Charge) -> None:
        """Record what a step has cost, in one transaction with other pending saves."""
        await self._saves.submit(Save(claim, charge=charge))

    async def concepts(
        self,
        run_id: str,
        *,
        status: Sequence[ConceptStatus] = (),
        limit: int | None = None,
        after: str | None = None,
    ) -> Sequence[ConceptState]:
        """List concepts of a run in the order of the roadmap."""
        query = select(*_CONCEPT_COLUMNS).where(concepts.c.run_id == run_id)
        if status:
            query = query.where(concepts.c.status.in_(status))
        if after is not None:
            position = select(concepts.c.position).where(
                concepts.c.run_id == run_id, concepts.c.concept_id == after
            )
            query = query.where(concepts.c.position > position.scalar_subquery())
        query = query.order_by(concepts.c.position).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(query))
        states = [_state(row) for row in rows]
        if not states:  # is the run unknown?
            await self._database.read(lambda connection: read_run(connection, run_id))
        return states

    async def concept(self, run_id: str, concept_id: str) -> ConceptState | None:
        """Return one concept of a run; ``None`` if it does not exist."""
        query = select(*_CONCEPT_COLUMNS).where(
            concepts.c.run_id == run_id, concepts.c.concept_id == concept_id
        )
        rows = await self._database.read(lambda connection: connection.execute(query))
        row = rows.one_or_none()
        return None if row is None else _state(row)

    async def artifacts(
        self, run_id: str, *, concept_id: str | None = None, step: str | None = None
    ) -> Sequence[Artifact]:
        """List artifacts with their content, in the order of the roadmap and of time."""
        query = (
            select(artifacts)
            .join(
                concepts,
                (concepts.c.run_id == artifacts.c.run_id)
                & (concepts.c.concept_id == artifacts.c.concept_id),
            )
            .where(artifacts.c.run_id == run_id)
            .order_by(concepts.c.position, artifacts.c.created_at, artifacts.c.step)
        )
        if concept_id is not None:
            query = query.where(artifacts.c.concept_id == concept_id)
        if step is not None:
            query = query.where(artifacts.c.step == step)
        rows = await self._database.read(lambda connection: connection.execute(query))
        return [as_current(row) for row in rows]

    async def artifact_steps(
        self, run_id: str, *, concepts: Sequence[str] | None = None
    ) -> Mapping[str, frozenset[str]]:
        """Return the steps with an artifact by concept id: of ``concepts``, or of all."""
        query = select(artifacts.c.concept_id, artifacts.c.step).where(artifacts.c.run_id == run_id)
        if concepts is not None:
            query = query.where(artifacts.c.concept_id.in_(concepts))
        steps: dict[str, set[str]] = defaultdict(set)
        rows = await self._database.read(lambda connection: connection.execute(query))
        for concept_id, step in rows:
            steps[concept_id].add(step)
        return {concept_id: frozenset(made) for concept_id, made in steps.items()}

    async def run_paces(self, run_ids: Sequence[str]) -> Sequence[RunPace]:
        """Return how far queued and running runs are."""
        return await self._database.read(lambda connection: read_paces(connection, run_ids))

    async def timeline(self, run_id: str, *, concepts: Sequence[str]) -> Sequence[StepTimes]:
        """List when the steps of some concepts made their artifacts, or failed."""
        return await self._database.read(
            lambda connection: read_timeline(connection, run_id, concepts)
        )

    async def spending(self, run_id: str) -> RunSpending:
        """Return what a run has cost so far."""
        return await self._database.read(lambda connection: read_spending(connection, run_id))


def _state(row: AnyRow) -> ConceptState:
    return ConceptState(
        concept_id=row.concept_id,
        status=row.status,
        reason=row.reason,
        attempts=row.attempts,
        last_answer=row.last_answer,
    )
