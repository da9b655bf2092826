"""Versions of artifacts in SQL: list, request, restore."""

import time
from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from paceline import Artifact, Run
from paceline.contracts.share import claim_order
from paceline.contracts.storage.records import ENDED
from paceline.contracts.storage.seeds import Copy
from paceline.contracts.storage.versions import ArtifactMark, Revision, VersionStore
from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    bindparam,
    delete,
    exists,
    false,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.artifact_rows import as_current, mark_stale, restore_version
from paceline_adapters.sql.columns import now
from paceline_adapters.sql.engine import Database
from paceline_adapters.sql.insert import Upsert, insert_into
from paceline_adapters.sql.outbox_rows import SqlOutlets
from paceline_adapters.sql.run_rows import CHUNK, read_run
from paceline_adapters.sql.seeding import add_outside, find_inputs
from paceline_adapters.sql.tables import (
    artifacts,
    concepts,
    journal,
    past_versions,
    revisions,
    runs,
)
from paceline_adapters.sql.url import Dialect

_PLACE = ["run_id", "concept_id", "step"]


@cache
def _put(dialect: Dialect) -> Upsert:
    statement = insert_into(revisions, dialect).values(number=1, requested_at=now())
    values = ("instruction", "tenant", "requested_by", "requested_at")
    return statement.on_conflict_do_update(
        index_elements=_PLACE,
        set_={
            "number": revisions.c.number + 1,
            **{name: statement.excluded[name] for name in values},
        },
    )


_forget = delete(journal).where(*(journal.c[name] == bindparam(f"of_{name}") for name in _PLACE))
_marks = (
    select(
        artifacts.c.concept_id,
        artifacts.c.step,
        artifacts.c.version,
        artifacts.c.model,
        artifacts.c.stale,
        artifacts.c.input_hash,
    )
    .join(
        concepts,
        (concepts.c.run_id == artifacts.c.run_id)
        & (concepts.c.concept_id == artifacts.c.concept_id),
    )
    .order_by(concepts.c.position, artifacts.c.created_at, artifacts.c.step)
)


class SqlVersions(VersionStore, SqlOutlets, ABC):
    """The versions of an SQL store."""

    _database: Database

    async def marks(
        self, run_id: str, *, concepts: Sequence[str] | None = None
    ) -> Sequence[ArtifactMark]:
        """List artifacts without content."""
        query = _marks.where(artifacts.c.run_id == run_id)
        if concepts is not None:
            query = query.where(artifacts.c.concept_id.in_(concepts))
        rows = await self._database.read(lambda connection: connection.execute(query))
        return [
            ArtifactMark(
                concept_id=row.concept_id,
                step=row.step,
                version=row.version,
                model=row.model,
                stale=bool(row.stale),
                input_hash=row.input_hash,
            )
            for row in rows
        ]

    async def versions(self, run_id: str, concept_id: str, step: str) -> Sequence[Artifact]:
        """List all versions of an artifact by number."""
        names = [column.name for column in past_versions.c]

        def of(table: Table, *more: ColumnElement[Any]) -> Select[Any]:
            return select(*(table.c[name] for name in names), *more).where(
                table.c.run_id == run_id, table.c.concept_id == concept_id, table.c.step == step
            )

        # One statement, so that a version that becomes current meanwhile is listed once.
        query = union_all(
            of(artifacts, artifacts.c.changes, artifacts.c.stale),
            of(past_versions, literal(0).label("changes"), false().label("stale")),
        ).order_by("version")
        rows = await self._database.read(lambda connection: connection.execute(query))
        return [replace(as_current(row), current=row.changes > 0) for row in rows]

    async def find_inputs(
        self, hashes: Sequence[str], tenants: Sequence[str]
    ) -> Mapping[str, Copy]:
        """Find current artifacts that were made from these inputs."""
        return await self._database.read(
            lambda connection: find_inputs(connection, hashes, tenants)
        )

    async def add_artifacts(
        self, run_id: str, artifacts: Sequence[Artifact], *, steps: Sequence[str]
    ) -> Run:
        """Add artifacts that were made outside."""
        dialect = self._database.dialect
        run = await self._database.write(
            lambda connection: add_outside(
                connection, dialect, self.outlets, run_id, artifacts, steps
            )
        )
        self._committed()
        return run

    async def request_revisions(
        self, run_id: str, requests: Sequence[Revision], *, executor: str
    ) -> Run:
        """Ask for new versions of artifacts, and queue the run if it has ended."""
        this_run = runs.c.run_id == run_id
        rows = [
            {
                "run_id": run_id,
                "concept_id": one.concept_id,
                "step": one.step,
                "instruction": one.instruction,
                "tenant": one.tenant,
                "requested_by": one.requested_by,
            }
            for one in requests
        ]

        async def change(connection: AsyncConnection) -> Run:
            run = await read_run(connection, run_id, lock=True)
            if not rows:
                return run
            for start in range(0, len(rows), CHUNK):
                chunk = rows[start : start + CHUNK]
                await connection.execute(_put(self._database.dialect), chunk)
                places = [{f"of_{name}": row[name] for name in _PLACE} for row in chunk]
                await connection.execute(_forget, places)
            ended = run.status in ENDED
            await reopen_revised(connection, run_id, skip_others=ended)
            if ended:
                values = {
                    "status": "queued",
                    "executor": executor,
                    "reason": None,
                    "takeovers": 0,
                    "cancel_requested": False,
                    "pause_requested": None,
                    "finished_at": None,
                    "claim_order": claim_order("high", time.time()),
                }
                await connection.execute(update(runs).where(this_run).values(**values))
            elif run.status == "running":
                await connection.execute(update(runs).where(this_run).values(extended=True))
            return await read_run(connection, run_id)

        return await self._database.write(change)

    async def revisions(self, run_id: str) -> Sequence[Revision]:
        """List the requests that no save has fulfilled."""
        query = (
            select(revisions)
            .join(
                concepts,
                (concepts.c.run_id == revisions.c.run_id)
                & (concepts.c.concept_id == revisions.c.concept_id),
            )
            .where(revisions.c.run_id == run_id)
            .order_by(concepts.c.position, revisions.c.step)
        )
        rows = await self._database.read(lambda connection: connection.execute(query))
        return [
            Revision(
                concept_id=row.concept_id,
                step=row.step,
                instruction=row.instruction,
                tenant=row.tenant,
                requested_by=row.requested_by,
                number=row.number,
                requested_at=row.requested_at,
            )
            for row in rows
        ]

    async def restore(
        self, run_id: str, concept_id: str, step: str, version: int, *, stale: Sequence[str] = ()
    ) -> Artifact | None:
        """Make an older version of an artifact current again."""
        this = (
            artifacts.c.run_id == run_id,
            artifacts.c.concept_id == concept_id,
            artifacts.c.step == step,
        )

        async def change(connection: AsyncConnection) -> Artifact | None:
            await read_run(connection, run_id, lock=True)
            current = (await connection.execute(select(artifacts).where(*this))).one_or_none()
            if current is None:
                return None
            if current.version != version:
                known = exists().where(
                    past_versions.c.run_id == run_id,
                    past_versions.c.concept_id == concept_id,
                    past_versions.c.step == step,
                    past_versions.c.version == version,
                )
                if not await connection.scalar(select(known)):
                    return None
                place = run_id, concept_id, step
                await restore_version(connection, self.outlets, place, version)
                await mark_stale(connection, run_id, concept_id, stale)
            await connection.execute(
                delete(revisions).where(
                    revisions.c.run_id == run_id,
                    revisions.c.concept_id == concept_id,
                    revisions.c.step == step,
                )
            )
            restored = await connection.execute(select(artifacts).where(*this))
            return as_current(restored.one())

        current = await self._database.write(change)
        self._committed()
        return current


async def reopen_revised(
    connection: AsyncConnection, run_id: str, *, skip_others: bool = False
) -> None:
    """Set concepts with a request to ``pending``.

    ``skip_others`` sets the other pending concepts to ``skipped``, so that only what was asked
    for is made.
    """
    requested = exists().where(
        revisions.c.run_id == concepts.c.run_id, revisions.c.concept_id == concepts.c.concept_id
    )
    of_run = concepts.c.run_id == run_id
    if skip_others:
        await connection.execute(
            update(concepts)
            .where(of_run, concepts.c.status == "pending", ~requested)
            .values(status="skipped")
        )
    statuses = ["completed", "failed", "skipped"] if skip_others else ["completed"]
    await connection.execute(
        update(concepts)
        .where(of_run, concepts.c.status.in_(statuses), requested)
        .values(status="pending", reason=None, last_answer=None)
    )
