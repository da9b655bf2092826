"""Runs as rows: create, find, list, reopen, cancel."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from paceline import Roadmap, Run, RunNotFound, Share
from paceline.contracts.identity import new_run_id
from paceline.contracts.records import ENDED, ResumeOnly, RunStatus, conflict, key_reused
from sqlalchemy import ColumnElement, Select, func, insert, select, union_all, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.columns import now
from paceline_adapters.sql.engine import Database
from paceline_adapters.sql.tables import AnyRow, concepts, roadmaps, runs, submissions

#: Rows of one statement: bounds memory and how long the event loop is held.
_CHUNK = 2000

_SHOWN = tuple(
    column
    for column in runs.c
    if column.name not in ("generation", "lease_until", "artifacts_at_claim")
)


async def create(
    database: Database,
    roadmap: Roadmap,
    *,
    executor: str,
    new: bool,
    key: str | None,
    share: Share,
) -> tuple[Run, bool]:
    """See ``Store.create_run``."""
    content_hash, content = roadmap.content_hash(), roadmap.to_json()
    ids = [concept.concept_id for _, _, concept in roadmap.concepts()]
    run_id = new_run_id()

    async def attempt(connection: AsyncConnection) -> tuple[Run, bool] | None:
        known = None if key is None else await _submitted(connection, key)
        if known is not None:
            if (known.content_hash, known.share) != (content_hash, share):
                raise key_reused(known)
            return known, known.run_id == run_id
        newest = (
            await connection.execute(
                select(runs.c.generation, *_SHOWN)
                .where(runs.c.roadmap_id == roadmap.roadmap_id)
                .order_by(runs.c.generation.desc())
                .limit(1)
            )
        ).one_or_none()
        # Our own id is found where an attempt was committed and the answer was lost.
        if newest is not None and (not new or newest.run_id == run_id):
            found = (await _with_counts(connection, [newest]))[0]
            if found.content_hash != content_hash:
                raise conflict(found)
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
        }
        if not await _insert_run(connection, database, row):
            return None
        await connection.execute(insert(roadmaps), {"run_id": run_id, "content": content})
        fresh = {"run_id": run_id, "status": "pending", "attempts": 0}
        for start in range(0, len(ids), _CHUNK):
            chunk = enumerate(ids[start : start + _CHUNK], start)
            await connection.execute(
                insert(concepts), [{**fresh, "concept_id": id_, "position": i} for i, id_ in chunk]
            )
        if key is not None and not await _insert_key(connection, database, key, run_id):
            raise _Taken
        return (await _one(connection, run_id)), True

    while True:
        try:
            created = await database.write(attempt)
        except _Taken:  # somebody was faster, and nothing of ours was written
            continue
        if created is not None:
            return created


class _Taken(Exception):
    """Another submission has the key."""


async def _submitted(connection: AsyncConnection, key: str) -> Run | None:
    """The run that was created under a key."""
    query = select(submissions.c.run_id).where(submissions.c.submission_key == key)
    run_id = await connection.scalar(query)
    return None if run_id is None else await _one(connection, run_id)


async def _insert_key(
    connection: AsyncConnection, database: Database, key: str, run_id: str
) -> bool:
    """Whether we are first to use this key."""
    build = postgresql.insert if database.dialect == "postgresql" else sqlite.insert
    result = await connection.execute(
        build(submissions)
        .values(submission_key=key, run_id=run_id)
        .on_conflict_do_nothing(index_elements=["submission_key"])
        .returning(submissions.c.run_id)
    )
    return result.one_or_none() is not None


async def _insert_run(
    connection: AsyncConnection, database: Database, row: Mapping[str, object]
) -> bool:
    """Whether we are first to create this generation of the roadmap's runs."""
    build = postgresql.insert if database.dialect == "postgresql" else sqlite.insert
    result = await connection.execute(
        build(runs)
        .values(**row, created_at=now())
        .on_conflict_do_nothing(index_elements=["roadmap_id", "generation"])
        .returning(runs.c.run_id)
    )
    return result.one_or_none() is not None


async def one(database: Database, run_id: str) -> Run:
    """See ``Store.run``."""
    return await database.read(lambda connection: _one(connection, run_id))


async def page(
    database: Database,
    *,
    status: Sequence[RunStatus],
    roadmap_id: str | None,
    tenants: Sequence[str],
    limit: int,
    before: str | None,
) -> Sequence[Run]:
    """See ``Store.runs``.

    Each tenant and each status is read by itself along an index, so that no page takes longer
    for runs that have ended or that are others'.
    """

    def part(*conditions: ColumnElement[bool]) -> Select[Any]:
        query = select(*_SHOWN).where(*conditions).order_by(runs.c.run_id.desc()).limit(limit)
        if roadmap_id is not None:
            query = query.where(runs.c.roadmap_id == roadmap_id)
        return query if before is None else query.where(runs.c.run_id < before)

    async def ask(connection: AsyncConnection) -> list[Run]:
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
        return await _with_counts(connection, (await connection.execute(query)).all())

    return await database.read(ask)


async def reopen(database: Database, run_id: str, *, executor: str, only: ResumeOnly | None) -> Run:
    """See ``Store.reopen``."""

    async def change(connection: AsyncConnection) -> Run:
        run = await _one(connection, run_id, lock=True)
        mine = runs.c.run_id == run_id
        if run.status == "queued":
            await connection.execute(update(runs).where(mine).values(executor=executor))
        elif run.status in ENDED and run.status != "completed":
            await connection.execute(
                update(runs)
                .where(mine)
                .values(
                    status="queued",
                    executor=executor,
                    reason=None,
                    takeovers=0,
                    cancel_requested=False,
                    finished_at=None,
                )
            )
            of_run = concepts.c.run_id == run_id
            if only == "failed":
                await connection.execute(
                    update(concepts)
                    .where(of_run, concepts.c.status == "pending")
                    .values(status="skipped")
                )
            again = {None: ("failed", "skipped"), "failed": ("failed",), "missing": ("skipped",)}
            await connection.execute(
                update(concepts)
                .where(of_run, concepts.c.status.in_(again[only]))
                .values(status="pending", reason=None, attempts=0, last_answer=None)
            )
        return await _one(connection, run_id)

    return await database.write(change)


async def request_cancel(database: Database, run_id: str) -> Run:
    """See ``Store.request_cancel``. A run whose lease lapsed has no owner who could be asked."""

    async def change(connection: AsyncConnection) -> Run:
        run = await _one(connection, run_id, lock=True)
        mine = runs.c.run_id == run_id
        if run.status == "running":
            await connection.execute(update(runs).where(mine).values(cancel_requested=True))
        await connection.execute(
            update(runs)
            .where(
                mine,
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
        return await _one(connection, run_id)

    return await database.write(change)


async def _one(connection: AsyncConnection, run_id: str, *, lock: bool = False) -> Run:
    query = select(*_SHOWN).where(runs.c.run_id == run_id)
    if lock:
        query = query.with_for_update(key_share=True)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise RunNotFound(f"no run has the id {run_id!r}")
    return (await _with_counts(connection, [row]))[0]


async def _with_counts(connection: AsyncConnection, rows: Sequence[AnyRow]) -> list[Run]:
    """Rows as runs, with how their concepts stand: one query for many."""
    counts: dict[tuple[str, str], int] = {}
    for start in range(0, len(rows), _CHUNK):
        counted = await connection.execute(
            select(concepts.c.run_id, concepts.c.status, func.count())
            .where(
                concepts.c.run_id.in_([row.run_id for row in rows[start : start + _CHUNK]]),
                concepts.c.status.in_(["completed", "failed"]),
            )
            .group_by(concepts.c.run_id, concepts.c.status)
        )
        counts |= {(run, status): n for run, status, n in counted}
    return [
        Run(
            run_id=row.run_id,
            roadmap_id=row.roadmap_id,
            title=row.title,
            content_hash=row.content_hash,
            status=row.status,
            reason=row.reason,
            executor=row.executor,
            total=row.total,
            completed=counts.get((row.run_id, "completed"), 0),
            failed=counts.get((row.run_id, "failed"), 0),
            fence=row.fence,
            owner=row.owner,
            takeovers=row.takeovers,
            cancel_requested=row.cancel_requested,
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
            share=Share(row.tenant, row.weight),
        )
        for row in rows
    ]
