"""Runs in SQL: submit, find, list, resume, cancel."""

import time
from abc import ABC
from collections.abc import Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import Any

from paceline import Roadmap, Run, Share
from paceline.contracts.identity import new_run_id
from paceline.contracts.run_context import context_to_json
from paceline.contracts.scope import WHOLE_ROADMAP, Scope
from paceline.contracts.share import DEFAULT_SHARE, claim_order, stored_names
from paceline.contracts.storage.budgets import to_nanos
from paceline.contracts.storage.records import RESUMABLE, ResumeOnly, RunStatus
from paceline.contracts.storage.rules import (
    RESUMED,
    key_reused_error,
    run_conflict_error,
    run_not_found_error,
)
from paceline.contracts.storage.run_search import FoundRuns, RunSearch
from paceline.contracts.storage.seeds import NO_SEEDS, Seeds
from paceline.contracts.storage.store import RunStore
from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    bindparam,
    case,
    exists,
    func,
    insert,
    not_,
    select,
    union_all,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.columns import now
from paceline_adapters.sql.engine import Database
from paceline_adapters.sql.insert import insert_into
from paceline_adapters.sql.outbox_rows import SqlOutlets, count_end
from paceline_adapters.sql.run_rows import (
    CHUNK,
    COLUMNS,
    as_runs,
    read_run,
    seconds_until_lapse,
)
from paceline_adapters.sql.run_search import search_runs
from paceline_adapters.sql.seeding import seed_run
from paceline_adapters.sql.tables import AnyRow, artifacts, concepts, roadmaps, runs, submissions


class SqlRuns(RunStore, SqlOutlets, ABC):
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
        context: Mapping[str, object] = MappingProxyType({}),
        scope: Scope = WHOLE_ROADMAP,
        seeds: Seeds = NO_SEEDS,
        budget: float | None = None,
    ) -> tuple[Run, bool]:
        """Return the tenant's newest run of the roadmap; create a queued run if it has none."""
        content_hash, content = roadmap.content_hash(), roadmap.to_json()
        identity = content_hash, context_to_json(context)
        positions = _positions(roadmap, scope)
        run_id, names = new_run_id(), stored_names(share.tenant)

        async def attempt(connection: AsyncConnection) -> tuple[Run, bool]:
            known = None if key is None else await _submitted(connection, key)
            if known is not None:
                if (_identity(known), known.share) != (identity, share):
                    raise key_reused_error(known)
                return known, known.run_id == run_id
            newest = await _newest(connection, roadmap.roadmap_id)
            own = newest
            if not new and newest is not None and (newest.purging or newest.tenant not in names):
                of_tenant = runs.c.tenant.in_(names), not_(runs.c.purging)
                own = await _newest(connection, roadmap.roadmap_id, *of_tenant)
            # Our own id is found if an earlier attempt was committed and its answer was lost.
            if own is not None and (not new or own.run_id == run_id):
                found = (await as_runs(connection, [own]))[0]
                if _identity(found) != identity:
                    raise run_conflict_error(found, content_hash)
                return found, found.run_id == run_id
            row = {
                "run_id": run_id,
                "roadmap_id": roadmap.roadmap_id,
                "generation": 1 if newest is None else newest.generation + 1,
                "status": "queued",
                "title": roadmap.title,
                "content_hash": content_hash,
                "executor": executor,
                "total": len(positions),
                "fence": 0,
                "cancel_requested": False,
                "takeovers": 0,
                "artifacts_at_claim": 0,
                "tenant": share.tenant,
                "weight": share.weight,
                "priority": share.priority,
                "claim_order": claim_order(share.priority, time.time()),
                "created_at": now(),
                "context": identity[1],
                "scope": scope.to_json(),
                "budget": None if budget is None else to_nanos(budget),
            }
            await self._insert_new(connection, runs, row, ["roadmap_id", "generation"])
            await connection.execute(insert(roadmaps), {"run_id": run_id, "content": content})
            await _add_concepts(connection, run_id, positions)
            place = run_id, roadmap.roadmap_id
            await seed_run(connection, self._database.dialect, self.outlets, place, seeds)
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
        dialect = self._database.dialect
        result = await connection.execute(
            insert_into(table, dialect)
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
            query = select(*COLUMNS).where(*conditions, not_(runs.c.purging))
            query = query.order_by(runs.c.run_id.desc()).limit(limit)
            if roadmap_id is not None:
                query = query.where(runs.c.roadmap_id == roadmap_id)
            return query if before is None else query.where(runs.c.run_id < before)

        choices = [
            [runs.c.tenant == one for one in dict.fromkeys(tenants)],
            # Written into the statement: a plan for any status would read all ended runs in
            # search of a running one.
            [
                runs.c.status == bindparam("status", one, unique=True, literal_execute=True)
                for one in dict.fromkeys(status)
            ],
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

    async def find_runs(
        self, search: RunSearch, *, limit: int = 50, after: str | None = None, totals: bool = False
    ) -> FoundRuns:
        """Find the next page of runs."""
        return await self._database.read(
            lambda connection: search_runs(
                connection, search, limit=limit, after=after, totals=totals
            )
        )

    async def roadmap(self, run_id: str) -> Roadmap:
        """Return the roadmap that a run was created with."""
        query = (
            select(roadmaps.c.content)
            .join(runs, runs.c.run_id == roadmaps.c.run_id)
            .where(roadmaps.c.run_id == run_id, not_(runs.c.purging))
        )
        content = await self._database.read(lambda connection: connection.scalar(query))
        if content is None:
            raise run_not_found_error(run_id)
        return Roadmap.model_validate_json(content)

    async def reopen(self, run_id: str, *, executor: str, only: ResumeOnly | None = None) -> Run:
        """Queue an ended or paused run again."""
        this_run = runs.c.run_id == run_id
        resumed = RESUMED[only]

        async def change(connection: AsyncConnection) -> Run:
            run = await read_run(connection, run_id, lock=True)
            if run.status == "queued":
                await connection.execute(update(runs).where(this_run).values(executor=executor))
            elif run.status in RESUMABLE:
                await connection.execute(
                    update(runs)
                    .where(this_run)
                    .values(
                        status="queued",
                        executor=executor,
                        reason=None,
                        takeovers=0,
                        cancel_requested=False,
                        pause_requested=None,
                        short_of=None,
                        held=False,
                        finished_at=None,
                    )
                )
                await connection.execute(
                    update(concepts)
                    .where(concepts.c.run_id == run_id, concepts.c.status.in_(list(resumed)))
                    .values(
                        status=case(resumed, value=concepts.c.status),
                        reason=None,
                        last_answer=None,
                    )
                )
            return await read_run(connection, run_id)

        return await self._database.write(change)

    async def extend(
        self, run: Run, scope: Scope, *, executor: str, roadmap: Roadmap, steps: Sequence[str]
    ) -> Run | None:
        """Widen the scope of a run, and reopen completed concepts that lack a step."""
        positions = {} if scope.only == run.only else _positions(roadmap, scope)
        this_run = runs.c.run_id == run.run_id
        made = (
            select(func.count())
            .where(
                artifacts.c.run_id == concepts.c.run_id,
                artifacts.c.concept_id == concepts.c.concept_id,
                artifacts.c.step.in_(steps),
            )
            .correlate(concepts)
            .scalar_subquery()
        )
        lacking = (concepts.c.status == "completed") & (made < len(set(steps)))

        async def change(connection: AsyncConnection) -> Run | None:
            found = await read_run(connection, run.run_id, lock=True)
            if found.scope not in (run.scope, scope):
                return None
            if positions:
                known = await connection.scalars(
                    select(concepts.c.concept_id).where(concepts.c.run_id == run.run_id)
                )
                have = set(known)
                new = {id_: at for id_, at in positions.items() if id_ not in have}
                await _add_concepts(connection, run.run_id, new)
                values = {"total": len(positions)}
                await connection.execute(update(runs).where(this_run).values(**values))
            if found.scope != scope:
                await connection.execute(
                    update(runs)
                    .where(this_run)
                    .values(scope=scope.to_json(), extended=runs.c.status == "running")
                )
            await connection.execute(
                update(concepts)
                .where(concepts.c.run_id == run.run_id, lacking)
                .values(status="pending")
            )
            pending = exists().where(
                concepts.c.run_id == run.run_id, concepts.c.status == "pending"
            )
            await connection.execute(
                update(runs)
                .where(this_run, runs.c.status == "completed", pending)
                .values(
                    status="queued",
                    executor=executor,
                    takeovers=0,
                    cancel_requested=False,
                    finished_at=None,
                )
            )
            return await read_run(connection, run.run_id)

        return await self._database.write(change)

    async def request_cancel(self, run_id: str) -> Run:
        """Cancel a run, or ask its owner to cancel it."""
        return await self._request(
            run_id,
            {"cancel_requested": True},
            of=("queued", "paused"),
            at_once={"status": "cancelled", "pause_requested": None, "finished_at": now()},
        )

    async def request_pause(self, run_id: str, reason: str) -> Run:
        """Pause a run, or ask its owner to pause it."""
        return await self._request(
            run_id,
            {"pause_requested": reason},
            of=("queued",),
            at_once={"status": "paused", "pause_requested": None, "reason": reason},
        )

    async def _request(
        self,
        run_id: str,
        request: Mapping[str, object],
        *,
        of: Sequence[RunStatus],
        at_once: Mapping[str, object],
    ) -> Run:
        """Record a request for the owner of a run; carry it out at once if no owner is alive.

        Args:
            run_id: id of the run.
            request: the columns that tell the owner.
            of: statuses without an owner that the request applies to.
            at_once: the columns of a run without a live owner.
        """
        this_run = runs.c.run_id == run_id
        lost = (runs.c.status == "running") & (runs.c.lease_until < now())

        async def change(connection: AsyncConnection) -> Run:
            run = await read_run(connection, run_id, lock=True)
            if run.status in ("running", *of):
                await connection.execute(update(runs).where(this_run).values(**request))
                await connection.execute(
                    update(runs)
                    .where(this_run, runs.c.status.in_(of) | lost)
                    .values(
                        owner=None,
                        lease_until=None,
                        seconds=seconds_until_lapse,
                        short_of=None,
                        held=False,
                        **at_once,
                    )
                )
            after = await read_run(connection, run_id)
            if after.status != run.status:
                await count_end(connection, self.routes, run_id, after.status)
            return after

        changed = await self._database.write(change)
        self._committed()
        return changed


class _AlreadyExists(Exception):
    """Another process inserted the row first; nothing of this transaction is kept."""


def _identity(run: Run) -> tuple[str, str | None]:
    return run.content_hash, context_to_json(run.context)


def _positions(roadmap: Roadmap, scope: Scope) -> dict[str, int]:
    """Ids of the concepts in a scope, with their positions in the roadmap."""
    within = set(scope.concepts_of(roadmap))
    every = (concept.concept_id for _, _, concept in roadmap.concepts())
    return {id_: position for position, id_ in enumerate(every) if id_ in within}


async def _add_concepts(
    connection: AsyncConnection, run_id: str, positions: Mapping[str, int]
) -> None:
    pending = {"run_id": run_id, "status": "pending", "attempts": 0}
    rows = [{**pending, "concept_id": id_, "position": at} for id_, at in positions.items()]
    for start in range(0, len(rows), CHUNK):
        await connection.execute(insert(concepts), rows[start : start + CHUNK])


async def _submitted(connection: AsyncConnection, key: str) -> Run | None:
    """The run that was created under a key."""
    query = select(submissions.c.run_id).where(submissions.c.submission_key == key)
    run_id = await connection.scalar(query)
    return None if run_id is None else await read_run(connection, run_id)


async def _newest(
    connection: AsyncConnection, roadmap_id: str, *conditions: ColumnElement[bool]
) -> AnyRow | None:
    """The newest run of a roadmap that meets the conditions, with its generation.

    Generations count the runs of all tenants, and those that are being purged.
    """
    query = (
        select(runs.c.generation, runs.c.purging, *COLUMNS)
        .where(runs.c.roadmap_id == roadmap_id, *conditions)
        .order_by(runs.c.generation.desc())
        .limit(1)
    )
    return (await connection.execute(query)).one_or_none()
