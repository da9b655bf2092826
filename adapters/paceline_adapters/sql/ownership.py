"""Who may write a run: claims with a fence and a lease, ends, orphans.

A fence counts the claims of a run. Every write names the fence of its claim and is refused
once another claim, or the end of the run, came after it; so an owner that slept through its
lease can do no harm when it wakes.
"""

from collections.abc import Sequence

from paceline import Claim, Share, StaleFence
from paceline.contracts.identity import ProcessIdentity
from paceline.contracts.records import ENDED, Orphan, RunStatus, given_up
from sqlalchemy import (
    ColumnElement,
    case,
    exists,
    func,
    not_,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.columns import from_now, now
from paceline_adapters.sql.engine import Database
from paceline_adapters.sql.tables import AnyRow, artifacts, runs, workers

#: Ids that one statement names.
_CHUNK = 1000

_saved = (
    select(func.count())
    .select_from(artifacts)
    .where(artifacts.c.run_id == runs.c.run_id)
    .correlate(runs)
    .scalar_subquery()
)
_registered = workers.alias("registered")
_owner_gone = not_(exists().where(_registered.c.worker_id == runs.c.owner).correlate(runs))
_lapsed = (runs.c.lease_until < now()) | _owner_gone


def stale(claim: Claim) -> StaleFence:
    """What to raise for a claim that is over."""
    return StaleFence(
        f"run {claim.run_id}: {claim.worker_id} does not own it any more (fence {claim.fence})"
    )


def holds(row: AnyRow | None, claim: Claim) -> bool:
    """Whether a run's row (fence, owner, status) still is the claim's."""
    return (
        row is not None
        and row.fence == claim.fence
        and row.owner == claim.worker_id
        and row.status == "running"
    )


async def claim(database: Database, run_id: str, worker_id: str, *, lease: float) -> Claim | None:
    """See ``Store.claim``. Taking over a lapsed run counts a lost owner."""
    free = (runs.c.status == "queued") | (
        (runs.c.status == "running") & (runs.c.lease_until < now())
    )
    return await database.write(
        lambda connection: _take(connection, (runs.c.run_id == run_id) & free, worker_id, lease)
    )


async def claim_next(
    database: Database,
    executor: str,
    worker_id: str,
    *,
    lease: float,
    only: Sequence[str] | None,
) -> Claim | None:
    """See ``Store.claim_next``. Two who ask at once get two runs, and neither waits."""
    if only is None:
        return await _next(database, executor, worker_id, lease, true())
    ids = sorted(set(only))  # ids rise with time, so the oldest come first
    for start in range(0, len(ids), _CHUNK):
        among = runs.c.run_id.in_(ids[start : start + _CHUNK])
        found = await _next(database, executor, worker_id, lease, among)
        if found is not None:
            return found
    return None


async def _next(
    database: Database, executor: str, worker_id: str, lease: float, among: ColumnElement[bool]
) -> Claim | None:
    oldest = (
        select(runs.c.run_id)
        .where(runs.c.status == "queued", runs.c.executor == executor, among)
        .order_by(runs.c.run_id)
        .limit(1)
    )

    async def change(connection: AsyncConnection) -> Claim | None:
        run_id = await connection.scalar(oldest.with_for_update(skip_locked=True, key_share=True))
        if run_id is None:
            return None
        return await _take(connection, runs.c.run_id == run_id, worker_id, lease)

    # Most often there is none: find out without a transaction.
    if await database.read(lambda connection: connection.scalar(oldest)) is None:
        return None
    return await database.write(change)


async def _take(
    connection: AsyncConnection, which: ColumnElement[bool], worker_id: str, lease: float
) -> Claim | None:
    takeover = runs.c.status == "running"
    lost = case((_saved > runs.c.artifacts_at_claim, 0), else_=runs.c.takeovers + 1)
    result = await connection.execute(
        update(runs)
        .where(which, not_(runs.c.cancel_requested))
        .values(
            status="running",
            fence=runs.c.fence + 1,
            owner=worker_id,
            lease_until=from_now(lease),
            started_at=func.coalesce(runs.c.started_at, now()),
            finished_at=None,
            reason=None,
            takeovers=case((takeover, lost), else_=runs.c.takeovers),
            artifacts_at_claim=_saved,
        )
        .returning(runs.c.run_id, runs.c.roadmap_id, runs.c.fence, runs.c.tenant, runs.c.weight)
    )
    row = result.one_or_none()
    if row is None:
        return None
    return Claim(
        run_id=row.run_id,
        roadmap_id=row.roadmap_id,
        worker_id=worker_id,
        fence=row.fence,
        share=Share(row.tenant, row.weight),
    )


async def finish(database: Database, held: Claim, status: RunStatus, reason: str | None) -> None:
    """See ``Store.finish``."""
    if status not in ENDED:
        raise ValueError(f"a run cannot end as {status!r}")

    async def change(connection: AsyncConnection) -> None:
        row = await _locked(connection, held.run_id)
        if row is not None and (row.fence, row.status) == (held.fence, status):
            return  # an attempt before this one was committed and its answer lost
        if not holds(row, held):
            raise stale(held)
        await _release(connection, held.run_id, status, reason)

    await database.write(change, patience=database.long_patience)


async def hand_back(database: Database, held: Claim, reason: str | None) -> None:
    """See ``Store.hand_back``. A run that is to be cancelled ends here."""

    async def change(connection: AsyncConnection) -> None:
        row = await _locked(connection, held.run_id)
        if row is None or not holds(row, held):
            return
        saved = await connection.scalar(select(_saved).where(runs.c.run_id == held.run_id))
        await _release(
            connection,
            held.run_id,
            "cancelled" if row.cancel_requested else "queued",
            reason,
            takeovers=0 if (saved or 0) > row.artifacts_at_claim else row.takeovers,
        )

    await database.write(change, patience=database.long_patience)


async def orphans(database: Database, *, run_id: str | None, limit: int) -> Sequence[Orphan]:
    """See ``Store.orphans``. An owner that is registered nowhere has left."""
    query = (
        select(
            runs.c.run_id,
            runs.c.executor,
            runs.c.fence,
            workers.c.host,
            workers.c.pid,
            workers.c.process_started,
            _lapsed.label("lapsed"),
        )
        .outerjoin(workers, workers.c.worker_id == runs.c.owner)
        .where(runs.c.status == "running", true() if run_id is None else runs.c.run_id == run_id)
        .order_by(runs.c.lease_until, runs.c.run_id)
        .limit(limit)
    )
    return [
        Orphan(
            run_id=row.run_id,
            executor=row.executor,
            fence=row.fence,
            owner=None
            if row.host is None
            else ProcessIdentity(row.host, row.pid, row.process_started),
            lapsed=bool(row.lapsed),
        )
        for row in await database.read(lambda connection: connection.execute(query))
    ]


async def requeue(database: Database, orphan: Orphan, *, poison_after: int) -> RunStatus | None:
    """See ``Store.requeue_orphan``."""

    async def change(connection: AsyncConnection) -> RunStatus | None:
        row = await _locked(connection, orphan.run_id)
        if row is None or row.status != "running" or row.fence != orphan.fence:
            return None
        if orphan.lapsed and not row.lapsed:
            return None  # the owner was only slow, and renewed its lease
        saved = await connection.scalar(select(_saved).where(runs.c.run_id == orphan.run_id))
        lost = 0 if (saved or 0) > row.artifacts_at_claim else row.takeovers + 1
        status: RunStatus = "queued"
        reason = None
        if row.cancel_requested:
            status = "cancelled"
        elif lost >= poison_after:
            status, reason = "failed", given_up(lost)
        await _release(connection, orphan.run_id, status, reason, takeovers=lost)
        return status

    return await database.write(change)


async def _locked(connection: AsyncConnection, run_id: str) -> AnyRow | None:
    """What decides about a run's owner; the row stays as it is until we commit."""
    result = await connection.execute(
        select(
            runs.c.status,
            runs.c.fence,
            runs.c.owner,
            runs.c.cancel_requested,
            runs.c.takeovers,
            runs.c.artifacts_at_claim,
            _lapsed.label("lapsed"),
        )
        .where(runs.c.run_id == run_id)
        .with_for_update(key_share=True)
    )
    return result.one_or_none()


async def _release(
    connection: AsyncConnection,
    run_id: str,
    status: RunStatus,
    reason: str | None,
    **values: object,
) -> None:
    ended = now() if status in ENDED else None
    await connection.execute(
        update(runs)
        .where(runs.c.run_id == run_id)
        .values(
            status=status,
            reason=reason,
            owner=None,
            lease_until=None,
            finished_at=ended,
            **values,
        )
    )
