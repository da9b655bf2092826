"""How far runs are, in SQL. Each count reads an index only."""

from collections.abc import Sequence

from paceline.contracts.storage.records import RunPace
from sqlalchemy import case, func, not_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.columns import seconds_since
from paceline_adapters.sql.tables import AnyRow, artifacts, concepts, runs

#: Maximum number of run ids in one statement.
_CHUNK = 500

_running = runs.c.status == "running"
_saved = (
    select(func.count())
    .select_from(artifacts)
    .where(artifacts.c.run_id == runs.c.run_id)
    .correlate(runs)
    .scalar_subquery()
)
_of_pending = (concepts.c.run_id == runs.c.run_id, concepts.c.status == "pending")
_pending = (
    select(func.count()).select_from(concepts).where(*_of_pending).correlate(runs).scalar_subquery()
)
_saved_of_pending = (
    select(func.count())
    .select_from(
        concepts.join(
            artifacts,
            (artifacts.c.run_id == concepts.c.run_id)
            & (artifacts.c.concept_id == concepts.c.concept_id),
        )
    )
    .where(*_of_pending)
    .correlate(runs)
    .scalar_subquery()
)
_paces = select(
    runs.c.run_id,
    case((_running, seconds_since(runs.c.claimed_at)), else_=0.0).label("seconds"),
    case((_running, _saved - runs.c.artifacts_at_claim), else_=0).label("made"),
    _pending.label("pending"),
    _saved_of_pending.label("saved"),
).where(runs.c.status.in_(["queued", "running"]), not_(runs.c.purging))


def _pace(row: AnyRow) -> RunPace:
    return RunPace(
        run_id=row.run_id,
        seconds=max(0.0, row.seconds or 0.0),
        made=max(0, row.made),
        pending=row.pending,
        saved=row.saved,
    )


async def read_paces(connection: AsyncConnection, run_ids: Sequence[str]) -> list[RunPace]:
    """How far these runs are, as ``Store.run_paces`` says."""
    found: list[RunPace] = []
    for start in range(0, len(run_ids), _CHUNK):
        some = runs.c.run_id.in_(run_ids[start : start + _CHUNK])
        found += [_pace(row) for row in await connection.execute(_paces.where(some))]
    return found
