"""Rows of the outbox, written in the transaction of an artifact or of a run's end."""

import json
from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass

from paceline.contracts.sink import TransactionalSink, artifact_delivery_id, run_delivery_id
from paceline.contracts.storage.outbox import OutboxStore, SinkRoute
from paceline.contracts.storage.records import ENDED, RunStatus
from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.columns import now
from paceline_adapters.sql.run_rows import read_run
from paceline_adapters.sql.tables import AnyRow, artifacts, outbox, runs
from paceline_adapters.sql.transactional import write_through

#: What an inserted or changed artifact returns for the outbox.
OF_ARTIFACT = (
    artifacts.c.run_id,
    artifacts.c.concept_id,
    artifacts.c.step,
    artifacts.c.version,
    artifacts.c.changes,
)


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where committed artifacts go.

    Attributes:
        routes: sinks that get a row of the outbox.
        writers: sinks that write in the artifact's transaction.
    """

    routes: Sequence[SinkRoute] = ()
    writers: Sequence[tuple[SinkRoute, TransactionalSink]] = ()

    def __bool__(self) -> bool:
        """Whether there is any sink."""
        return bool(self.routes or self.writers)


class SqlOutlets(OutboxStore, ABC):
    """The part of the outbox that every write uses."""

    _writers: Sequence[tuple[SinkRoute, TransactionalSink]] = ()

    @property
    def outlets(self) -> Outlets:
        """Where committed artifacts go."""
        return Outlets(self.routes, self._writers)


#: Without sinks, nothing is written and nothing is asked.
NO_OUTLETS = Outlets()


async def add_deliveries(
    connection: AsyncConnection, outlets: Outlets, rows: Sequence[AnyRow]
) -> None:
    """Add the versions that became current in this transaction; rows have ``OF_ARTIFACT``.

    Raises:
        PluginError: a sink that writes in the transaction failed.
    """
    added: list[dict[str, object]] = [
        {
            "sink": route.sink,
            "delivery_id": artifact_delivery_id(row.run_id, row.concept_id, row.step, row.changes),
            "run_id": row.run_id,
            "concept_id": row.concept_id,
            "step": row.step,
            "number": row.changes,
            "version": row.version,
            "body": None,
        }
        for row in rows
        for route in outlets.routes
        if route.takes_artifact(row.step)
    ]
    await _insert(connection, added)
    if outlets.writers and rows:
        await write_through(connection, outlets.writers, rows)


async def deliver_current(
    connection: AsyncConnection, outlets: Outlets, run_id: str, *only: ColumnElement[bool]
) -> None:
    """Add the current artifacts of a run, or those that meet the conditions, to the outbox.

    Raises:
        PluginError: a sink that writes in the transaction failed.
    """
    if outlets:
        rows = await connection.execute(
            select(*OF_ARTIFACT).where(artifacts.c.run_id == run_id, *only)
        )
        await add_deliveries(connection, outlets, rows.all())


async def count_end(
    connection: AsyncConnection, routes: Sequence[SinkRoute], run_id: str, status: RunStatus
) -> None:
    """Count the end of a run, and add it to the outbox; does nothing for other statuses."""
    if status not in ENDED:
        return
    ended = runs.c.run_id == run_id
    await connection.execute(update(runs).where(ended).values(ends=runs.c.ends + 1))
    routes = [route for route in routes if route.takes_runs]
    if not routes:
        return
    number = await connection.scalar(select(runs.c.ends).where(ended)) or 0
    run = await read_run(connection, run_id)
    body = {
        "status": run.status,
        "reason": run.reason,
        "total": run.total,
        "completed": run.completed,
        "failed": run.failed,
    }
    row = {
        "delivery_id": run_delivery_id(run_id, number),
        "run_id": run_id,
        "concept_id": "",
        "step": "",
        "number": number,
        "version": 0,
        "body": json.dumps(body),
    }
    await _insert(connection, [{"sink": route.sink, **row} for route in routes])


async def _insert(connection: AsyncConnection, rows: Sequence[dict[str, object]]) -> None:
    if rows:
        values = insert(outbox).values(created_at=now(), due_at=now())
        await connection.execute(values, rows)
