"""Worker processes in SQL: register, beat, deregister."""

from collections.abc import Sequence

from paceline.contracts.identity import ProcessIdentity
from paceline.contracts.storage.records import Beat, Figures, WorkerRecord
from paceline.contracts.storage.store import WorkerStore
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.columns import from_now, now, seconds_since
from paceline_adapters.sql.control_rows import read_version
from paceline_adapters.sql.engine import Database
from paceline_adapters.sql.figures import decoded, encoded, encoded_steps
from paceline_adapters.sql.tables import runs, workers

#: Seconds since the last beat after which a worker's row is removed.
_FORGET_AFTER = 600.0
#: Seconds to retry a beat. The next one follows soon.
_BEAT_PATIENCE = 2.0


#: Open steps are left out: the list of workers is read each second, and they may be long.
_RECORD = [column for column in workers.c if column is not workers.c.open_steps]


class SqlWorkers(WorkerStore):
    """The workers of an SQL store."""

    _database: Database
    _lease: float
    #: Workers that this process registered.
    _registered: dict[str, WorkerRecord]

    async def register(self, worker: WorkerRecord) -> None:
        """Add a worker, and remove rows of workers that ended long ago."""
        self._registered[worker.worker_id] = worker

        async def change(connection: AsyncConnection) -> None:
            # A row stays as long as a lease of its worker may be valid.
            age = seconds_since(workers.c.beat_at)
            await connection.execute(
                delete(workers).where(age > max(_FORGET_AFTER, 2 * self._lease))
            )
            await put_worker(connection, worker)

        await self._database.write(change)

    async def beat(self, worker_id: str, figures: Figures, *, lease: float) -> Beat:
        """Report figures and renew leases. If the worker's row was removed, it is added again."""
        ids = sorted(set(figures.runs))
        record = self._registered.get(worker_id)

        async def change(connection: AsyncConnection) -> Beat:
            updated = await connection.execute(
                update(workers)
                .where(workers.c.worker_id == worker_id)
                .values(
                    beat_at=now(),
                    figures=encoded(figures),
                    open_steps=encoded_steps(figures.open_steps),
                )
                .returning(workers.c.drain)
            )
            row = updated.one_or_none()
            if row is None and record is not None:
                await put_worker(connection, record)
            drain, version = row is not None and bool(row.drain), await read_version(connection)
            if not ids:
                return Beat(controls=version, drain=drain)
            rows = await connection.execute(
                select(runs.c.run_id, runs.c.cancel_requested, runs.c.pause_requested)
                .where(
                    runs.c.run_id.in_(ids), runs.c.owner == worker_id, runs.c.status == "running"
                )
                .order_by(runs.c.run_id)  # the order in which every transaction locks runs
                .with_for_update(key_share=True)
            )
            owned = {row.run_id: row for row in rows}
            if owned:
                await connection.execute(
                    update(runs)
                    .where(runs.c.run_id.in_(list(owned)))
                    .values(lease_until=from_now(lease))
                )
            return Beat(
                cancelled=frozenset(
                    run_id for run_id, run in owned.items() if run.cancel_requested
                ),
                paused=frozenset(
                    run_id for run_id, run in owned.items() if run.pause_requested is not None
                ),
                lost=frozenset(ids).difference(owned),
                controls=version,
                drain=drain,
            )

        return await self._database.write(change, patience=_BEAT_PATIENCE)

    async def deregister(self, worker_id: str) -> None:
        """Remove a worker, and end the leases of its runs."""
        self._registered.pop(worker_id, None)
        owned = (
            select(runs.c.run_id)
            .where(runs.c.status == "running", runs.c.owner == worker_id)
            .order_by(runs.c.run_id)
            .with_for_update(key_share=True)
        )

        async def change(connection: AsyncConnection) -> None:
            await connection.execute(delete(workers).where(workers.c.worker_id == worker_id))
            ids = (await connection.scalars(owned)).all()
            if ids:
                await connection.execute(
                    update(runs).where(runs.c.run_id.in_(ids)).values(lease_until=from_now(-1.0))
                )

        await self._database.write(change)

    async def workers(self, *, max_age: float = 15.0) -> Sequence[WorkerRecord]:
        """List workers with a recent beat, in the order of their start."""
        return await self._database.read(
            lambda connection: live_workers(connection, max_age=max_age)
        )


async def put_worker(connection: AsyncConnection, worker: WorkerRecord) -> None:
    """Write a worker's row. It replaces a row with the same id."""
    await connection.execute(delete(workers).where(workers.c.worker_id == worker.worker_id))
    await connection.execute(
        insert(workers).values(
            worker_id=worker.worker_id,
            host=worker.identity.host,
            pid=worker.identity.pid,
            process_started=worker.identity.started,
            executor=worker.executor,
            concurrency=worker.concurrency,
            pool_max=worker.pool_max,
            started_at=now(),
            beat_at=now(),
            figures=encoded(worker.figures),
        )
    )


async def live_workers(connection: AsyncConnection, *, max_age: float) -> Sequence[WorkerRecord]:
    """Read the workers with a beat in the last ``max_age`` seconds, in the order of their start.

    A process of this host that was killed since its last beat is left out.
    """
    age = seconds_since(workers.c.beat_at)
    rows = await connection.execute(
        select(*_RECORD, age.label("age"))
        .where(age <= max_age)
        .order_by(workers.c.started_at, workers.c.worker_id)
    )
    records = [
        WorkerRecord(
            worker_id=row.worker_id,
            identity=ProcessIdentity(row.host, row.pid, row.process_started),
            executor=row.executor,
            concurrency=row.concurrency,
            pool_max=row.pool_max,
            beat_age=max(0.0, row.age),
            figures=decoded(row.figures),
        )
        for row in rows
    ]
    return [record for record in records if not record.identity.is_gone()]
