"""Ownership of runs in SQL: claims with a fence and a lease, ends, lost owners.

The fence of a run counts its claims. Every write names the fence of its claim. The database
refuses it after the run has a newer claim or has ended, so an owner that was suspended longer
than its lease cannot overwrite anything.
"""

from abc import ABC
from collections.abc import Sequence

from paceline import Claim, Share, StaleFence
from paceline.contracts.identity import ProcessIdentity
from paceline.contracts.storage.outbox import OutboxStore, SinkRoute
from paceline.contracts.storage.records import ENDED, Orphan, RunStatus
from paceline.contracts.storage.rules import poison_reason, requested_status
from paceline.contracts.storage.spending import Charge, Spent
from paceline.contracts.storage.store import OwnershipStore
from sqlalchemy import ColumnElement, case, exists, func, not_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.charges import write_charges
from paceline_adapters.sql.columns import from_now, now, seconds_since
from paceline_adapters.sql.cost_rows import CostDeltas
from paceline_adapters.sql.engine import Database
from paceline_adapters.sql.figures import decoded
from paceline_adapters.sql.outbox_rows import count_end
from paceline_adapters.sql.revisions import reopen_revised
from paceline_adapters.sql.run_rows import seconds_now, seconds_until_lapse
from paceline_adapters.sql.tables import AnyRow, artifacts, revisions, runs, workers
from paceline_adapters.sql.url import Dialect

#: Maximum number of run ids in one statement.
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


class SqlOwnership(OwnershipStore, OutboxStore, ABC):
    """The claims of an SQL store."""

    _database: Database

    async def claim(self, run_id: str, worker_id: str, *, lease: float) -> Claim | None:
        """Claim a run. If its lease has expired, this counts a lost owner."""
        free = (runs.c.status == "queued") | (
            (runs.c.status == "running") & (runs.c.lease_until < now())
        )
        which = (runs.c.run_id == run_id) & free
        return await self._database.write(
            lambda connection: _claim(connection, which, worker_id, lease)
        )

    async def claim_next(
        self, executor: str, worker_id: str, *, lease: float, only: Sequence[str] | None = None
    ) -> Claim | None:
        """Claim the next queued run. Concurrent callers do not wait for each other."""
        queued = (runs.c.status == "queued") & (runs.c.executor == executor)
        if only is None:
            return await self._claim_oldest(queued, worker_id, lease)
        ids = sorted(set(only))  # ids rise with time, so the oldest come first
        for start in range(0, len(ids), _CHUNK):
            among = queued & runs.c.run_id.in_(ids[start : start + _CHUNK])
            claim = await self._claim_oldest(among, worker_id, lease)
            if claim is not None:
                return claim
        return None

    async def _claim_oldest(
        self, among: ColumnElement[bool], worker_id: str, lease: float
    ) -> Claim | None:
        in_order = runs.c.claim_order, runs.c.run_id
        oldest = select(runs.c.run_id).where(among).order_by(*in_order).limit(1)
        # Most often no run is queued: find that out without a transaction.
        if await self._database.read(lambda connection: connection.scalar(oldest)) is None:
            return None
        locked = oldest.with_for_update(skip_locked=True, key_share=True)

        async def change(connection: AsyncConnection) -> Claim | None:
            run_id = await connection.scalar(locked)
            if run_id is None:
                return None
            return await _claim(connection, runs.c.run_id == run_id, worker_id, lease)

        return await self._database.write(change)

    async def finish(self, claim: Claim, status: RunStatus, reason: str | None = None) -> RunStatus:
        """End a run, or queue it again if its scope was widened after the claim."""
        if status not in ENDED:
            raise ValueError(f"a run cannot end as {status!r}")

        async def change(connection: AsyncConnection) -> RunStatus:
            row = await locked_run(connection, claim.run_id)
            ends: RunStatus = status
            if row is not None and row.extended and status != "cancelled":
                ends = "queued"
            if row is not None and (row.fence, row.status) == (claim.fence, ends):
                return ends  # an earlier attempt was committed and its answer was lost
            if not owns(row, claim):
                raise stale_fence(claim)
            why = reason if ends == status else None
            await release(connection, self.routes, claim.run_id, ends, why, seconds=seconds_now)
            return ends

        ended = await self._database.write(change, patience=self._database.long_patience)
        self._committed()
        return ended

    async def hand_back(self, claim: Claim, reason: str | None = None) -> RunStatus | None:
        """Queue the run again, or cancel or pause it if that was requested."""

        async def change(connection: AsyncConnection) -> RunStatus | None:
            row = await locked_run(connection, claim.run_id)
            if row is None or not owns(row, claim):
                return None
            status, why = requested_status(row.pause_requested, cancel=row.cancel_requested)
            await release(
                connection,
                self.routes,
                claim.run_id,
                status,
                why or reason,
                seconds=seconds_now,
                takeovers=0 if await _saved_since_claim(connection, row) else row.takeovers,
            )
            return status

        released = await self._database.write(change, patience=self._database.long_patience)
        if released in ENDED:
            self._committed()
        return released

    async def orphans(self, *, run_id: str | None = None, limit: int = 100) -> Sequence[Orphan]:
        """List running runs and their owners. An unregistered owner has left."""
        query = (
            select(
                runs.c.run_id,
                runs.c.executor,
                runs.c.fence,
                workers.c.host,
                workers.c.pid,
                workers.c.process_started,
                _lapsed.label("lapsed"),
                seconds_since(runs.c.lease_until).label("since_lease"),
            )
            .outerjoin(workers, workers.c.worker_id == runs.c.owner)
            .where(
                runs.c.status == "running", true() if run_id is None else runs.c.run_id == run_id
            )
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
                lease_left=0.0 if row.lapsed else max(0.0, -row.since_lease),
            )
            for row in await self._database.read(lambda connection: connection.execute(query))
        ]

    async def requeue_orphan(self, orphan: Orphan, *, poison_after: int) -> RunStatus | None:
        """Queue a run that lost its owner."""

        async def change(connection: AsyncConnection) -> RunStatus | None:
            row = await locked_run(connection, orphan.run_id)
            if row is None or row.status != "running" or row.fence != orphan.fence:
                return None
            if orphan.lapsed and not row.lapsed:
                return None  # the owner was only slow, and renewed its lease
            lost = 0 if await _saved_since_claim(connection, row) else row.takeovers + 1
            status, reason = requested_status(row.pause_requested, cancel=row.cancel_requested)
            if status == "queued" and lost >= poison_after:
                status, reason = "failed", poison_reason(lost)
            idle = await _charge_in_flight(connection, self._database.dialect, row)
            await release(
                connection,
                self.routes,
                orphan.run_id,
                status,
                reason,
                seconds=seconds_now - idle,
                takeovers=lost,
            )
            return status

        released = await self._database.write(change)
        if released in ENDED:
            self._committed()
        return released


def stale_fence(claim: Claim) -> StaleFence:
    """The error for a claim that does not own its run any more."""
    return StaleFence(
        f"run {claim.run_id}: {claim.worker_id} does not own it any more (fence {claim.fence})"
    )


def owns(row: AnyRow | None, claim: Claim) -> bool:
    """Whether a claim owns its run; the row is ``None`` if the run does not exist."""
    return (
        row is not None
        and row.fence == claim.fence
        and row.owner == claim.worker_id
        and row.status == "running"
    )


async def _claim(
    connection: AsyncConnection, which: ColumnElement[bool], worker_id: str, lease: float
) -> Claim | None:
    takeover = runs.c.status == "running"
    lost = case((_saved > runs.c.artifacts_at_claim, 0), else_=runs.c.takeovers + 1)
    result = await connection.execute(
        update(runs)
        .where(which, not_(runs.c.cancel_requested), runs.c.pause_requested.is_(None))
        .values(
            status="running",
            fence=runs.c.fence + 1,
            owner=worker_id,
            lease_until=from_now(lease),
            claimed_at=now(),
            seconds=seconds_until_lapse,
            started_at=func.coalesce(runs.c.started_at, now()),
            finished_at=None,
            reason=None,
            takeovers=case((takeover, lost), else_=runs.c.takeovers),
            artifacts_at_claim=_saved,
            extended=False,
        )
        .returning(
            *(runs.c.run_id, runs.c.roadmap_id, runs.c.fence),
            *(runs.c.tenant, runs.c.weight, runs.c.priority),
        )
    )
    row = result.one_or_none()
    if row is None:
        return None
    requested = select(revisions.c.run_id).where(revisions.c.run_id == row.run_id).limit(1)
    if await connection.scalar(requested) is not None:
        await reopen_revised(connection, row.run_id)
    return Claim(
        run_id=row.run_id,
        roadmap_id=row.roadmap_id,
        worker_id=worker_id,
        fence=row.fence,
        share=Share(row.tenant, row.weight, row.priority),
    )


async def locked_run(connection: AsyncConnection, run_id: str) -> AnyRow | None:
    """Lock a run until the transaction ends, and read what decides about its owner."""
    result = await connection.execute(
        select(
            runs.c.run_id,
            runs.c.status,
            runs.c.fence,
            runs.c.owner,
            runs.c.cancel_requested,
            runs.c.pause_requested,
            runs.c.takeovers,
            runs.c.artifacts_at_claim,
            runs.c.extended,
            _lapsed.label("lapsed"),
        )
        .where(runs.c.run_id == run_id)
        .with_for_update(key_share=True)
    )
    return result.one_or_none()


async def _saved_since_claim(connection: AsyncConnection, row: AnyRow) -> bool:
    """Whether the owner saved an artifact.

    This is a statement of its own, because ``locked_run`` does not see the saves that it waited
    for.
    """
    saved = await connection.scalar(select(_saved).where(runs.c.run_id == row.run_id))
    return (saved or 0) > int(row.artifacts_at_claim)


async def _charge_in_flight(connection: AsyncConnection, dialect: Dialect, row: AnyRow) -> float:
    """Charge what a lost owner reported in flight; returns the seconds since it was last alive.

    The charge is an estimate, because the answers are unknown and calls may have begun after the
    last beat. An owner that is not registered has left no figures.
    """
    query = select(workers.c.figures, seconds_since(workers.c.beat_at).label("age"))
    result = await connection.execute(query.where(workers.c.worker_id == row.owner))
    worker = result.one_or_none()
    if worker is None:
        return 0.0
    spent = decoded(worker.figures).in_flight.get(row.run_id, Spent(estimated=True))
    charge = Charge(concept_id="", step="", spent=spent)
    deltas = CostDeltas()
    await write_charges(connection, dialect, [(row.run_id, row.fence, charge)], deltas)
    await deltas.write(connection, dialect)
    return max(0.0, float(worker.age))


async def release(
    connection: AsyncConnection,
    routes: Sequence[SinkRoute],
    run_id: str,
    status: RunStatus,
    reason: str | None,
    *,
    short_of: str | None = None,
    held: bool = False,
    **values: object,
) -> None:
    """End a claim: set the run's new status, its reason, and the limit or pause that stopped it."""
    await connection.execute(
        update(runs)
        .where(runs.c.run_id == run_id)
        .values(
            status=status,
            reason=reason,
            owner=None,
            lease_until=None,
            pause_requested=None,
            short_of=short_of,
            held=held,
            finished_at=now() if status in ENDED else None,
            **values,
        )
    )
    await count_end(connection, routes, run_id, status)
