"""Worker processes as rows: register, beat, leave."""

from collections.abc import Sequence

from paceline.contracts.identity import ProcessIdentity
from paceline.contracts.records import Beat, Figures, WorkerRecord
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.columns import from_now, now, seconds_since
from paceline_adapters.sql.engine import Database
from paceline_adapters.sql.tables import runs, workers

#: Seconds after which a silent worker's row is of no interest.
_FORGET = 600.0
#: A beat comes again in a moment: it need not be tried for long.
_BEAT_PATIENCE = 2.0

_figures = TypeAdapter(Figures)


async def register(database: Database, worker: WorkerRecord, *, lease: float) -> None:
    """See ``Store.register``. Rows of workers that are long gone are removed."""

    async def change(connection: AsyncConnection) -> None:
        # A row stays as long as a lease of its worker may be running.
        age = seconds_since(workers.c.beat_at)
        await connection.execute(delete(workers).where(age > max(_FORGET, 2 * lease)))
        await put(connection, worker)

    await database.write(change)


async def put(connection: AsyncConnection, worker: WorkerRecord) -> None:
    """Write a worker's row in place of any with its id."""
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
            shared_limits=worker.shared_limits,
            started_at=now(),
            beat_at=now(),
            figures=_figures.dump_json(worker.figures).decode(),
        )
    )


async def beat(
    database: Database,
    worker_id: str,
    figures: Figures,
    *,
    lease: float,
    known: WorkerRecord | None,
) -> Beat:
    """See ``Store.beat``. A worker whose row was removed comes back as it is ``known``."""
    ids = sorted(set(figures.runs))

    async def change(connection: AsyncConnection) -> Beat:
        beaten = await connection.execute(
            update(workers)
            .where(workers.c.worker_id == worker_id)
            .values(beat_at=now(), figures=_figures.dump_json(figures).decode())
            .returning(workers.c.worker_id)
        )
        if beaten.one_or_none() is None and known is not None:
            await put(connection, known)
        if not ids:
            return Beat()
        owned = await connection.execute(
            select(runs.c.run_id, runs.c.cancel_requested)
            .where(runs.c.run_id.in_(ids), runs.c.owner == worker_id, runs.c.status == "running")
            .order_by(runs.c.run_id)  # locked in the order that everybody keeps
            .with_for_update(key_share=True)
        )
        held = {row.run_id: bool(row.cancel_requested) for row in owned}
        if held:
            await connection.execute(
                update(runs)
                .where(runs.c.run_id.in_(list(held)))
                .values(lease_until=from_now(lease))
            )
        return Beat(
            cancelled=frozenset(run_id for run_id, cancel in held.items() if cancel),
            lost=frozenset(ids).difference(held),
        )

    return await database.write(change, patience=_BEAT_PATIENCE)


async def deregister(database: Database, worker_id: str) -> None:
    """See ``Store.deregister``."""

    async def change(connection: AsyncConnection) -> None:
        await connection.execute(delete(workers).where(workers.c.worker_id == worker_id))
        left = select(runs.c.run_id).where(runs.c.status == "running", runs.c.owner == worker_id)
        left = left.order_by(runs.c.run_id).with_for_update(key_share=True)
        ids = (await connection.scalars(left)).all()
        if ids:
            await connection.execute(
                update(runs).where(runs.c.run_id.in_(ids)).values(lease_until=from_now(-1.0))
            )

    await database.write(change)


async def live(connection: AsyncConnection, *, max_age: float) -> Sequence[WorkerRecord]:
    """See ``Store.workers``; those that started first come first."""
    age = seconds_since(workers.c.beat_at)
    rows = await connection.execute(
        select(workers, age.label("age"))
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
            figures=_decoded(row.figures),
            shared_limits=row.shared_limits,
        )
        for row in rows
    ]
    # One that was killed on this machine a moment ago holds nothing any more.
    return [record for record in records if not record.identity.is_gone()]


def _decoded(text: str) -> Figures:
    try:
        return _figures.validate_json(text)
    except ValidationError:  # written by another version of paceline
        return Figures()
