"""Purges of runs in SQL, in transactions of a few rows each."""

from abc import ABC
from collections.abc import Sequence
from typing import Any

from paceline import Run
from paceline.contracts.storage.records import ENDED
from paceline.contracts.storage.retention import PURGED, PurgeableRun, Purged, RetentionStore
from paceline.contracts.storage.rules import run_in_work_error, run_not_found_error
from sqlalchemy import (
    ColumnElement,
    Delete,
    Select,
    Table,
    Update,
    and_,
    case,
    delete,
    func,
    not_,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.columns import from_now, now
from paceline_adapters.sql.engine import Database
from paceline_adapters.sql.figures import decoded, encoded, without_run
from paceline_adapters.sql.run_rows import read_run
from paceline_adapters.sql.tables import (
    artifacts,
    journal,
    metadata,
    outbox,
    past_versions,
    runs,
    submissions,
    workers,
)

#: Maximum number of rows that one transaction deletes or changes.
CHUNK = 1000

_of_run = [
    table
    for table in metadata.sorted_tables
    if any(key.column is runs.c.run_id for key in table.foreign_keys)
]
#: Tables with rows of a run. The outbox is first: a delivery without its artifact would be empty.
PURGED_TABLES: Sequence[Table] = [outbox, *(one for one in _of_run if one is not outbox)]

_artifacts_of_run = (
    select(func.count())
    .select_from(artifacts)
    .where(artifacts.c.run_id == runs.c.run_id)
    .correlate(runs)
    .scalar_subquery()
)
_held = (runs.c.status == "running") & (runs.c.lease_until >= now())


class SqlRetention(RetentionStore, ABC):
    """The purges of an SQL store."""

    _database: Database

    async def purgeable(
        self,
        *,
        tenants: Sequence[str] = (),
        older_than: float | None = None,
        limit: int = 100,
        after: PurgeableRun | None = None,
    ) -> Sequence[PurgeableRun]:
        """List runs that may be purged, along an index."""
        found: list[PurgeableRun] = []
        if after is None or after.interrupted:
            query = _listed(tenants, runs.c.purging).order_by(runs.c.run_id)
            if after is not None:
                query = query.where(runs.c.run_id > after.run_id)
            found += await self._read(query.limit(limit))
        if len(found) < limit:
            previous = None if after is None or after.interrupted else after
            found += await self._read(
                _candidates(tenants, older_than, previous).limit(limit - len(found))
            )
        return found

    async def _read(self, query: Select[Any]) -> list[PurgeableRun]:
        rows = await self._database.read(lambda connection: connection.execute(query))
        return [
            PurgeableRun(
                run_id=row.run_id,
                roadmap_id=row.roadmap_id,
                tenant=row.tenant,
                status=row.status,
                finished_at=row.finished_at,
                artifacts=row.artifacts,
                interrupted=bool(row.interrupted),
            )
            for row in rows
        ]

    async def hide(
        self, run_id: str, *, tenants: Sequence[str] = (), older_than: float | None = None
    ) -> None:
        """Begin the purge of a run."""
        await self._database.write(
            lambda connection: _hide(connection, run_id, tenants, older_than)
        )

    async def purge(self, run_id: str) -> Purged:
        """Delete what belongs to a hidden run in chunks, then its row."""
        hidden = select(runs.c.run_id).where(runs.c.run_id == run_id, runs.c.purging)
        if await self._database.read(lambda connection: connection.scalar(hidden)) is None:
            return Purged(run_id=run_id)
        deleted: dict[str, int] = {}
        for table in PURGED_TABLES:
            deleted[table.name] = await self._delete(table, run_id)
        for table in (artifacts, past_versions):
            await self._forget_origin(table, run_id)
        await self._database.write(lambda connection: _delete_row(connection, run_id))
        return Purged(
            run_id=run_id,
            artifacts=deleted[artifacts.name],
            versions=deleted[past_versions.name],
            journal=deleted[journal.name],
            deliveries=deleted[outbox.name],
        )

    async def _delete(self, table: Table, run_id: str) -> int:
        of_run = table.c.run_id == run_id
        key = tuple_(*table.primary_key.columns)
        some = select(*table.primary_key.columns).where(of_run).limit(CHUNK)
        statement = delete(table).where(of_run, key.in_(some))
        return await self._repeat(statement)

    async def _forget_origin(self, table: Table, run_id: str) -> None:
        adopted = table.c.adopted_from == run_id
        key = tuple_(*table.primary_key.columns)
        some = select(*table.primary_key.columns).where(adopted).limit(CHUNK)
        await self._repeat(update(table).where(adopted, key.in_(some)).values(adopted_from=PURGED))

    async def _repeat(self, statement: Delete | Update) -> int:
        """Execute a statement, each time in a transaction of its own, until it finds no row."""

        async def change(connection: AsyncConnection) -> int:
            return (await connection.execute(statement)).rowcount

        total = 0
        while True:
            done = await self._database.write(change)
            total += done
            if done < CHUNK:
                return total


def _listed(tenants: Sequence[str], *conditions: ColumnElement[bool]) -> Select[Any]:
    columns: list[ColumnElement[Any]] = [
        runs.c.run_id,
        runs.c.roadmap_id,
        runs.c.tenant,
        runs.c.status,
        runs.c.finished_at,
        _artifacts_of_run.label("artifacts"),
        runs.c.purging.label("interrupted"),
    ]
    query: Select[Any] = select(*columns).where(*conditions)
    return query.where(runs.c.tenant.in_(tenants)) if tenants else query


def _candidates(
    tenants: Sequence[str], older_than: float | None, after: PurgeableRun | None
) -> Select[Any]:
    if older_than is None:
        query = _listed(tenants, not_(runs.c.purging), not_(_held)).order_by(runs.c.run_id)
        return query if after is None else query.where(runs.c.run_id > after.run_id)
    query = _listed(tenants, not_(runs.c.purging), _ended_before(older_than))
    if after is not None:
        place = runs.c.finished_at, runs.c.run_id
        query = query.where(
            or_(
                place[0] > after.finished_at,
                and_(place[0] == after.finished_at, place[1] > after.run_id),
            )
        )
    return query.order_by(runs.c.finished_at, runs.c.run_id)


def _ended_before(seconds: float) -> ColumnElement[bool]:
    # A subquery is evaluated once. PostgreSQL's clock itself changes during a statement, so that it
    # could not bound an index scan.
    limit = select(from_now(-seconds)).scalar_subquery()
    return and_(
        runs.c.finished_at.is_not(None),
        runs.c.finished_at < limit,
        runs.c.status.in_(sorted(ENDED)),
    )


async def _hide(
    connection: AsyncConnection, run_id: str, tenants: Sequence[str], older_than: float | None
) -> None:
    """Make a run invisible, and refuse further writes of an owner.

    Raises:
        RunNotFound: there is no such run, or it is not one of those.
        RunInWork: it is running.
    """
    found = await connection.execute(
        select(
            runs.c.tenant,
            runs.c.purging,
            _held.label("held"),
            case((_ended_before(older_than or 0.0), True), else_=False).label("old"),
        )
        .where(runs.c.run_id == run_id)
        .with_for_update(key_share=True)
    )
    row = found.one_or_none()
    if row is None or (tenants and row.tenant not in tenants):
        raise run_not_found_error(run_id)
    if row.purging:
        return
    if older_than is not None and not row.old:
        raise run_not_found_error(run_id)
    if row.held:
        run: Run = await read_run(connection, run_id)
        raise run_in_work_error(run)
    await connection.execute(
        update(runs)
        .where(runs.c.run_id == run_id)
        .values(
            purging=True,
            status="cancelled",
            owner=None,
            lease_until=None,
            pause_requested=None,
            fence=runs.c.fence + 1,
        )
    )
    # A submission with the key of the run is a new one from now on.
    await connection.execute(delete(submissions).where(submissions.c.run_id == run_id))


async def _delete_row(connection: AsyncConnection, run_id: str) -> None:
    """Delete the row of a run, and its id from the figures of workers that have exited.

    Rows that an owner still wrote meanwhile, such as charges, go with it.
    """
    await connection.execute(delete(runs).where(runs.c.run_id == run_id, runs.c.purging))
    # The deletion waited for runs that were taking over artifacts from this one.
    for table in (artifacts, past_versions):
        adopted = table.c.adopted_from == run_id
        await connection.execute(update(table).where(adopted).values(adopted_from=PURGED))
    named = await connection.execute(
        select(workers.c.worker_id, workers.c.figures).where(workers.c.figures.contains(run_id))
    )
    for row in named.all():
        figures = decoded(row.figures)
        await connection.execute(
            update(workers)
            .where(workers.c.worker_id == row.worker_id, workers.c.figures == row.figures)
            .values(figures=encoded(without_run(figures, run_id)), open_steps=None)
        )
