"""Calls sinks that write in the transaction of an artifact."""

from collections.abc import Sequence

from paceline import Delivery, PacelineError, PluginError, TransactionalSink
from paceline.contracts.sink import artifact_delivery_id
from paceline.contracts.storage.outbox import SinkRoute
from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.faults import is_transient
from paceline_adapters.sql.tables import AnyRow, artifacts, runs


async def write_through(
    connection: AsyncConnection,
    writers: Sequence[tuple[SinkRoute, TransactionalSink]],
    rows: Sequence[AnyRow],
) -> None:
    """Let sinks write what became current; rows have ids of runs and concepts, and steps.

    Raises:
        PluginError: a sink failed. If that may be transient, its own error is raised.
    """
    made = await _read(connection, rows)
    for route, sink in writers:
        own = [one for one in made if route.takes_artifact(one.step)]
        if not own:
            continue
        try:
            await sink.write(connection, own)
        except Exception as error:
            if is_transient(error) or isinstance(error, PacelineError):
                raise
            reason = str(error).strip().splitlines() or [""]
            raise PluginError(
                f"sink {route.sink} could not write the artifact: "
                f"{type(error).__name__}: {reason[0]}"
            ) from None


async def _read(connection: AsyncConnection, rows: Sequence[AnyRow]) -> list[Delivery]:
    keys = [(row.run_id, row.concept_id, row.step) for row in rows]
    found = await connection.execute(
        select(artifacts, runs.c.title, runs.c.tenant.label("of_tenant"))
        .join(runs, runs.c.run_id == artifacts.c.run_id)
        .where(tuple_(artifacts.c.run_id, artifacts.c.concept_id, artifacts.c.step).in_(keys))
    )
    return [
        Delivery(
            id=artifact_delivery_id(row.run_id, row.concept_id, row.step, row.changes),
            kind="artifact",
            run_id=row.run_id,
            roadmap_id=row.roadmap_id,
            roadmap_title=row.title,
            tenant=row.of_tenant,
            number=row.changes,
            created_at=row.created_at,
            prompt_tokens=row.prompt_tokens,
            completion_tokens=row.completion_tokens,
            cost=row.cost,
            concept_id=row.concept_id,
            step=row.step,
            version=row.version,
            content=row.content,
            model=row.model,
            instruction=row.instruction,
        )
        for row in found
    ]
