"""Runs in SQL: submit, find, list, resume, cancel."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from paceline import Roadmap, Run, Share
from paceline.contracts.identity import new_run_id
from paceline.contracts.records import ENDED, ResumeOnly, RunStatus
from paceline.contracts.share import DEFAULT_SHARE
from paceline.contracts.store import RunStore
from paceline.contracts.store_rules import RESUMED, key_reused_error, run_conflict_error
from sqlalchemy import ColumnElement, Select, Table, case, insert, select, union_all, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.columns import now
from paceline_adapters.sql.engine import Database
from paceline_adapters.sql.run_rows import CHUNK, COLUMNS, as_runs, read_run, run_not_found
from paceline_adapters.sql.tables import concepts, roadmaps, runs, submissions


class SqlRuns(RunStore):
    """The runs of an SQL store."""

    _database: Database

    async def create_run(
        self,
        roadmap: Roadmap,
        *,
        executor: str,
        new: bool = False,
        key: str | None = None,
        share: Share = DEFAULT_SHARE,
    ) -> tuple[Run, bool]:
        """Return the roadmap's newest run; create a queued run if the roadmap has none."""
        content_hash, content = roadmap.content_hash(), roadmap.to_json()
        ids = [concept.concept_id for _, _, concept in roadmap.concepts()]
        run_id = new_run_id()

        async def attempt(connection: AsyncConnection) -> tuple[Run, bool]:
            known = None if key is None else await _submitted(connection, key)
            if known is not None:
                if (known.content_hash, known.share) != (content_hash, share):
                    raise key_reused_error(known)
                return known, known.run_id == run_id
            newest = (
                await connection.execute(
                    select(runs.c.generation, *COLUMNS)
                    .where(runs.c.roadmap_id == roadmap.roadmap_id)
                    .order_by(runs.c.generation.desc())
                    .limit(1)
                )
            ).one_or_none()
            # Our own id is found if an earlier attempt was committed and its answer was lost.
            if newest is not None and (not new or newest.run_id == run_id):
                found = (await as_runs(connection, [newest]))[0]
                if found.content_hash != content_hash:
                    raise run_conflict_error(found)
                return found, found.run_id == run_id
            row = {
                "run_id": run_id,
                "roadmap_id": roadmap.roadmap_id,
                "generation": 1 if newest is None else newest.generation + 1,
                "status": "queued",
                "title": roadmap.title,
                "content_hash": content_hash,
                "executor": executor,
                "total": len(ids),
                "fence": 0,
                "cancel_requested": False,
                "takeovers": 0,
                "artifacts_at_claim": 0,
                "tenant": share.tenant,
                "weight": share.weight,
                "created_at": now(),
            }
            await self._insert_new(connection, runs, row, ["roadmap_id", "generation"])
            await connection.execute(insert(roadmaps), {"run_id": run_id, "content": content})
            pending = {"run_id": run_id, "status": "pending", "attempts": 0}
            for start in range(0, len(ids), CHUNK):
                chunk = enumerate(ids[start : start + CHUNK], start)
                await connection.execute(
                    insert(concepts),
                    [{**pending, "concept_id": id_, "position": i} for i, id_ in chunk],
                )
            if key is not None:
                row = {"submission_key": key, "run_id": run_id}
                await self._insert_new(connection, submissions, row, ["submission_key"])
            return await read_run(connection, run_id), True

        while True:
            try:
                return await self._database.write(attempt)
            except _AlreadyExists:
                continue

    async def _insert_new(
        self,
        connection: AsyncConnection,
        table: Table,
        row: Mapping[str, object],
        unique: Sequence[str],
    ) -> None:
        """Insert a row.

        Raises:
            _AlreadyExists: another process inserted a row with the same unique values.
        """
        build = postgresql.insert if self._database.dialect == "postgresql" else sqlite.insert
        result = await connection.execute(
            build(table)
            .values(**row)
            .on_conflict_do_nothing(index_elements=unique)
            .returning(table.c.run_id)
        )
        if result.one_or_none() is None:
            raise _AlreadyExists

    async def run(self, run_id: str) -> Run:
        """Return one run."""
        return await self._database.read(lambda connection: read_run(connection, run_id))

    async def runs(
        self,
        *,
        status: Sequence[RunStatus] = (),
        roadmap_id: str | None = None,
        tenants: Sequence[str] = (),
        limit: int = 100,
        before: str | None = None,
    ) -> Sequence[Run]:
        """List runs, newest first.

        Each tenant and each status is read along an index. The number of ended runs, or of
        other tenants' runs, therefore does not slow down a page.
        """

        def part(*conditions: ColumnElement[bool]) -> Select[Any]:
            query = select(*COLUMNS).where(*conditions).order_by(runs.c.run_id.desc()).limit(limit)
            if roadmap_id is not None:
                query = query.where(runs.c.roadmap_id == roadmap_id)
            return query if before is None else query.where(runs.c.run_id < before)

        choices = [
            [runs.c.tenant == one for one in dict.fromkeys(tenants)],
            [runs.c.status == one for one in dict.fromkeys(status)],
        ]
        chosen = list(product(*(some for some in choices if some)))
        if len(chosen) > 1:
            parts = [part(*conditions).subquery() for conditions in chosen]
            found = union_all(*(select(part) for part in parts)).subquery()
            query = select(found).order_by(found.c.run_id.desc()).limit(limit)
        else:
            query = part(*chosen[0])

        async def read(connection: AsyncConnection) -> list[Run]:
            return await as_runs(connection, (await connection.execute(query)).all())

        return await self._database.read(read)

    async def roadmap(self, run_id: str) -> Roadmap:
        """Return the roadmap that a run was created with."""
        query = select(roadmaps.c.content).where(roadmaps.c.run_id == run_id)
        content = await self._database.read(lambda connection: connection.scalar(query))
        if content is None:
            raise run_not_found(run_id)
        return Roadmap.model_validate_json(content)

    async def reopen(self, run_id: str, *, executor: str, only: ResumeOnly | None = None) -> Run:
        """Queue an ended run again."""
        this_run = runs.c.run_id == run_id
        resumed = RESUMED[only]

        async def change(connection: AsyncConnection) -> Run:
            run = await read_run(connection, run_id, lock=True)
            if run.status == "queued":
                await connection.execute(update(runs).where(this_run).values(executor=executor))
            elif run.status in ENDED and run.status != "completed":
                await connection.execute(
                    update(runs)
                    .where(this_run)
                    .values(
                        status="queued",
                        executor=executor,
                        reason=None,
                        takeovers=0,
                        cancel_requested=False,
                        finished_at=None,
                    )
                )
                await connection.execute(
                    update(concepts)
                    .where(concepts.c.run_id == run_id, concepts.c.status.in_(list(resumed)))
                    .values(
                        status=case(resumed, value=concepts.c.status),
                        reason=None,
                        attempts=0,
                        last_answer=None,
                    )
                )
            return await read_run(connection, run_id)

        return await self._database.write(change)

    async def request_cancel(self, run_id: str) -> Run:
        """Cancel a run, or ask its owner to cancel it."""
        this_run = runs.c.run_id == run_id

        async def change(connection: AsyncConnection) -> Run:
            run = await read_run(connection, run_id, lock=True)
            if run.status == "running":
                await connection.execute(update(runs).where(this_run).values(cancel_requested=True))
            await connection.execute(
                update(runs)
                .where(
                    this_run,
                    (runs.c.status == "queued")
                    | (runs.c.status == "running") & (runs.c.lease_until < now()),
                )
                .values(
                    status="cancelled",
                    cancel_requested=True,
                    owner=None,
                    lease_until=None,
                    finished_at=now(),
                )
            )
            return await read_run(connection, run_id)

        return await self._database.write(change)


class _AlreadyExists(Exception):
    """Another process inserted the row first; nothing of this transaction is kept."""


async def _submitted(connection: AsyncConnection, key: str) -> Run | None:
    """The run that was created under a key."""
    query = select(submissions.c.run_id).where(submissions.c.submission_key == key)
    run_id = await connection.scalar(query)
    return None if run_id is None else await read_run(connection, run_id)
