"""The outbox in SQL: claim a batch, settle it, figures and dead letters."""

import json
import secrets
from abc import ABC
from collections.abc import Collection, Sequence
from typing import Any

from paceline import Delivery, TransactionalSink
from paceline.contracts.storage.outbox import (
    DeadLetter,
    Outgoing,
    Rejection,
    SinkBatch,
    SinkFigures,
    SinkOutage,
    SinkRoute,
)
from sqlalchemy import ColumnElement, delete, exists, func, not_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.columns import from_now, now, seconds_since
from paceline_adapters.sql.engine import Database
from paceline_adapters.sql.insert import insert_into
from paceline_adapters.sql.outbox_rows import SqlOutlets
from paceline_adapters.sql.tables import (
    AnyRow,
    artifacts,
    outbox,
    past_versions,
    runs,
    sink_states,
)

_earlier = outbox.alias("earlier")
#: Whether an earlier delivery of the same artifact waits or is leased.
_held_up = (
    exists()
    .where(
        _earlier.c.run_id == outbox.c.run_id,
        _earlier.c.concept_id == outbox.c.concept_id,
        _earlier.c.step == outbox.c.step,
        _earlier.c.sink == outbox.c.sink,
        _earlier.c.number < outbox.c.number,
        not_(_earlier.c.dead),
    )
    .correlate(outbox)
)
_until_retry = func.coalesce(-seconds_since(sink_states.c.retry_at), 0.0)


class SqlOutbox(SqlOutlets, ABC):
    """The outbox of an SQL store."""

    _database: Database

    def write_with(self, sinks: Sequence[tuple[SinkRoute, TransactionalSink]]) -> None:
        """Let sinks write in the transaction of each artifact from now on."""
        self._writers = tuple(sinks)

    async def claim_batch(self, sink: str, *, limit: int, lease: float) -> SinkBatch:
        """Take deliveries that are due. Concurrent callers do not wait for each other."""
        due = (outbox.c.sink == sink) & not_(outbox.c.dead) & (outbox.c.due_at <= now())
        heads = select(outbox.c.delivery_id).where(due, not_(_held_up)).order_by(outbox.c.due_at)
        state = select(sink_states.c.failures, _until_retry.label("retry_in")).where(
            sink_states.c.sink == sink
        )
        # Most often nothing is due: find that out without a transaction.
        token = secrets.token_hex(8)

        async def look(connection: AsyncConnection) -> tuple[bool, AnyRow | None]:
            waits = await connection.scalar(heads.limit(1)) is not None
            return waits, (await connection.execute(state)).one_or_none() if waits else None

        waits, row = await self._database.read(look)
        if not waits:
            return SinkBatch(sink=sink)
        if row is not None and row.failures and row.retry_in > 0:
            return SinkBatch(sink=sink, failures=row.failures, retry_in=row.retry_in)

        async def change(connection: AsyncConnection) -> SinkBatch:
            found = (await connection.execute(state)).one_or_none()
            failures = 0 if found is None else int(found.failures)
            if failures and not await _probes(connection, sink, lease):
                return SinkBatch(sink=sink, failures=failures, retry_in=lease)
            ids = (
                await connection.scalars(
                    heads.limit(1 if failures else limit).with_for_update(skip_locked=True)
                )
            ).all()
            if not ids:
                return SinkBatch(sink=sink, failures=failures)
            ours = _among(sink, ids)
            await connection.execute(
                update(outbox).where(ours).values(lease=token, due_at=from_now(lease))
            )
            items = await _read(connection, ours)
            return SinkBatch(sink=sink, lease=token, items=items, failures=failures)

        return await self._database.write(change)

    async def settle(
        self,
        batch: SinkBatch,
        *,
        delivered: Collection[str] = (),
        rejected: Sequence[Rejection] = (),
        outage: SinkOutage | None = None,
    ) -> None:
        """End the lease of a batch, in one transaction."""
        leased = _leased(batch)
        places = {one.delivery.id: one.delivery for one in batch.items}

        async def change(connection: AsyncConnection) -> None:
            gone = 0
            if delivered:
                removed = await connection.execute(
                    delete(outbox).where(leased, outbox.c.delivery_id.in_(list(delivered)))
                )
                gone = removed.rowcount
            for one in rejected:
                await _reject(connection, batch, one, places[one.id])
            await connection.execute(
                update(outbox)
                .where(leased, outbox.c.delivery_id.in_(list(places)))
                .values(lease=None, due_at=now())
            )
            await self._note_state(connection, batch, gone, outage)

        await self._database.write(change, patience=self._database.long_patience)

    async def _note_state(
        self, connection: AsyncConnection, batch: SinkBatch, gone: int, outage: SinkOutage | None
    ) -> None:
        """Record that the sink is down or not. The last statements: they lock a shared row."""
        dialect = self._database.dialect
        up = {"failures": 0, "down_since": None, "retry_at": None, "reason": None}
        values = {} if outage is not None else up
        if gone or outage is None:
            await connection.execute(
                insert_into(sink_states, dialect)
                .values(sink=batch.sink, delivered=gone)
                .on_conflict_do_update(
                    index_elements=["sink"],
                    set_={"delivered": sink_states.c.delivered + gone, **values},
                )
            )
        if outage is None:
            return
        down = {
            "failures": batch.failures + 1,
            "retry_at": from_now(outage.retry_in),
            "reason": outage.reason,
        }
        await connection.execute(
            insert_into(sink_states, dialect)
            .values(sink=batch.sink, down_since=now(), **down)
            .on_conflict_do_update(
                index_elements=["sink"],
                set_={**down, "down_since": func.coalesce(sink_states.c.down_since, now())},
                # If another worker has noticed the outage or its end meanwhile, that stays.
                where=sink_states.c.failures == batch.failures,
            )
        )

    async def sink_figures(self) -> Sequence[SinkFigures]:
        """Count what waits for each sink. Without sinks, this asks nothing."""
        if not self.routes:
            return []
        names = [route.sink for route in self.routes]
        counted = (
            select(
                outbox.c.sink,
                outbox.c.dead,
                func.count().label("rows"),
                seconds_since(func.min(outbox.c.created_at)).label("oldest"),
            )
            .where(outbox.c.sink.in_(names))
            .group_by(outbox.c.sink, outbox.c.dead)
        )
        states = select(
            sink_states,
            _until_retry.label("retry_in"),
            func.coalesce(seconds_since(sink_states.c.down_since), 0.0).label("down_for"),
        ).where(sink_states.c.sink.in_(names))

        async def read(connection: AsyncConnection) -> tuple[Sequence[AnyRow], Sequence[AnyRow]]:
            return (await connection.execute(counted)).all(), (
                await connection.execute(states)
            ).all()

        rows, noted = await self._database.read(read)
        counts = {(row.sink, bool(row.dead)): row for row in rows}
        state_of = {row.sink: row for row in noted}
        return [
            _figures(name, counts.get((name, False)), counts.get((name, True)), state_of.get(name))
            for name in names
        ]

    async def undelivered(
        self, *, sink: str | None = None, limit: int = 100
    ) -> Sequence[DeadLetter]:
        """List dead letters, oldest first."""
        query = select(outbox).where(outbox.c.dead).order_by(outbox.c.created_at).limit(limit)
        if sink is not None:
            query = query.where(outbox.c.sink == sink)
        return [
            DeadLetter(
                sink=row.sink,
                id=row.delivery_id,
                run_id=row.run_id,
                concept_id=row.concept_id,
                step=row.step,
                version=row.version,
                reason=row.reason or "",
            )
            for row in await self._database.read(lambda connection: connection.execute(query))
        ]

    async def retry_deliveries(self, *, sink: str | None = None, dead_only: bool = False) -> int:
        """Make dead letters due again."""
        of_sink = [] if sink is None else [outbox.c.sink == sink]
        of_state = [] if sink is None else [sink_states.c.sink == sink]

        async def change(connection: AsyncConnection) -> int:
            revived = await connection.execute(
                update(outbox)
                .where(*of_sink, outbox.c.dead)
                .values(dead=False, attempts=0, due_at=now())
            )
            if not dead_only:
                await connection.execute(
                    update(outbox)
                    .where(*of_sink, not_(outbox.c.dead), outbox.c.lease.is_(None))
                    .where(outbox.c.due_at > now())
                    .values(due_at=now())
                )
                await connection.execute(
                    update(sink_states)
                    .where(*of_state, sink_states.c.retry_at.is_not(None))
                    .values(retry_at=now())
                )
            return revived.rowcount

        return await self._database.write(change)


def _leased(batch: SinkBatch) -> ColumnElement[bool]:
    return (outbox.c.sink == batch.sink) & (outbox.c.lease == batch.lease)


def _among(sink: str, ids: Sequence[str]) -> ColumnElement[bool]:
    return (outbox.c.sink == sink) & outbox.c.delivery_id.in_(ids)


async def _reject(
    connection: AsyncConnection, batch: SinkBatch, one: Rejection, of: Delivery
) -> None:
    """Note a rejection, and let the later deliveries of the artifact wait with it."""
    due = {"due_at": from_now(one.retry_in or 0.0)}
    noted = await connection.execute(
        update(outbox)
        .where(_leased(batch), outbox.c.delivery_id == one.id)
        .values(
            **due,
            lease=None,
            attempts=outbox.c.attempts + 1,
            reason=one.reason,
            dead=one.retry_in is None,
        )
    )
    if noted.rowcount and one.retry_in is not None:
        await connection.execute(
            update(outbox)
            .where(
                outbox.c.run_id == of.run_id,
                outbox.c.concept_id == of.concept_id,
                outbox.c.step == of.step,
                outbox.c.sink == batch.sink,
                outbox.c.number > of.number,
            )
            .values(**due)
        )


async def _probes(connection: AsyncConnection, sink: str, lease: float) -> bool:
    """Become the one caller that tries a sink that is down."""
    probing = await connection.execute(
        update(sink_states)
        .where(
            sink_states.c.sink == sink,
            or_(sink_states.c.retry_at.is_(None), sink_states.c.retry_at <= now()),
        )
        .values(retry_at=from_now(lease))
    )
    return probing.rowcount > 0


async def _read(connection: AsyncConnection, ours: ColumnElement[bool]) -> Sequence[Outgoing]:
    """Read deliveries with the content of their versions."""

    def version(name: str) -> ColumnElement[Any]:
        return func.coalesce(artifacts.c[name], past_versions.c[name]).label(name)

    columns = ("content", "model", "prompt_tokens", "completion_tokens", "cost", "instruction")
    rows = await connection.execute(
        select(
            outbox,
            runs.c.roadmap_id,
            runs.c.title,
            runs.c.tenant,
            *(version(name) for name in columns),
            func.coalesce(
                artifacts.c.created_at, past_versions.c.created_at, type_=outbox.c.created_at.type
            ).label("made_at"),
        )
        .join(runs, runs.c.run_id == outbox.c.run_id)
        .outerjoin(artifacts, _same_version(artifacts))
        .outerjoin(past_versions, _same_version(past_versions))
        .where(ours)
        .order_by(outbox.c.created_at, outbox.c.delivery_id)
    )
    return [
        Outgoing(delivery=_ended(row) if row.body else _saved(row), attempts=row.attempts)
        for row in rows
    ]


def _same_version(table: Any) -> ColumnElement[bool]:
    same: ColumnElement[bool] = (
        (table.c.run_id == outbox.c.run_id)
        & (table.c.concept_id == outbox.c.concept_id)
        & (table.c.step == outbox.c.step)
        & (table.c.version == outbox.c.version)
    )
    return same


def _saved(row: AnyRow) -> Delivery:
    return Delivery(
        id=row.delivery_id,
        kind="artifact",
        run_id=row.run_id,
        roadmap_id=row.roadmap_id,
        roadmap_title=row.title,
        tenant=row.tenant,
        number=row.number,
        created_at=row.made_at or row.created_at,
        prompt_tokens=row.prompt_tokens or 0,
        completion_tokens=row.completion_tokens or 0,
        cost=row.cost,
        concept_id=row.concept_id,
        step=row.step,
        version=row.version,
        content=row.content or "",
        model=row.model or "",
        instruction=row.instruction,
    )


def _ended(row: AnyRow) -> Delivery:
    return Delivery(
        id=row.delivery_id,
        kind="run",
        run_id=row.run_id,
        roadmap_id=row.roadmap_id,
        roadmap_title=row.title,
        tenant=row.tenant,
        number=row.number,
        created_at=row.created_at,
        **json.loads(row.body),
    )


def _figures(
    sink: str, waiting: AnyRow | None, dead: AnyRow | None, state: AnyRow | None
) -> SinkFigures:
    down = state is not None and state.failures > 0
    return SinkFigures(
        sink=sink,
        waiting=0 if waiting is None else waiting.rows,
        oldest=0.0 if waiting is None else max(0.0, waiting.oldest),
        dead=0 if dead is None else dead.rows,
        delivered=0 if state is None else state.delivered,
        failures=0 if state is None else state.failures,
        down_for=state.down_for if state is not None and down else 0.0,
        reason=state.reason if state is not None and down else None,
        retry_in=max(0.0, state.retry_in) if state is not None and down else 0.0,
    )
