"""Reading rows of ``runs`` as ``Run`` records."""

from collections.abc import Sequence

from paceline import Run, Share
from paceline.contracts.run_context import context_from_json
from paceline.contracts.scope import Scope
from paceline.contracts.storage.budgets import from_nanos
from paceline.contracts.storage.rules import run_not_found_error
from sqlalchemy import case, func, not_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.columns import seconds_since
from paceline_adapters.sql.tables import AnyRow, concepts, runs

#: Maximum number of rows of one statement: bounds memory and the time on the event loop.
CHUNK = 2000

#: Seconds of all claims, the current one until now. Before a claim has a start, it counts none.
seconds_now = runs.c.seconds + func.coalesce(
    case((runs.c.status == "running", seconds_since(runs.c.claimed_at))), 0.0
)
#: Seconds of all claims, the current one until its lease expires.
seconds_until_lapse = seconds_now - func.coalesce(
    case((runs.c.status == "running", seconds_since(runs.c.lease_until))), 0.0
)

_HIDDEN = (
    *("generation", "lease_until", "artifacts_at_claim", "claimed_at", "seconds", "extended"),
    *("ends", "purging", "short_of", "held", "claim_order"),
)
#: The columns that a ``Run`` shows.
COLUMNS = (
    *(column for column in runs.c if column.name not in _HIDDEN),
    seconds_now.label("seconds"),
)


async def read_run(connection: AsyncConnection, run_id: str, *, lock: bool = False) -> Run:
    """Read one run; ``lock`` keeps others from changing its row until the transaction ends.

    Raises:
        RunNotFound: no run has that id.
    """
    query = select(*COLUMNS).where(runs.c.run_id == run_id, not_(runs.c.purging))
    if lock:
        query = query.with_for_update(key_share=True)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise run_not_found_error(run_id)
    return (await as_runs(connection, [row]))[0]


async def as_runs(connection: AsyncConnection, rows: Sequence[AnyRow]) -> list[Run]:
    """Convert rows to runs. One query counts the concepts of all of them."""
    counts: dict[tuple[str, str], int] = {}
    for start in range(0, len(rows), CHUNK):
        counted = await connection.execute(
            select(concepts.c.run_id, concepts.c.status, func.count())
            .where(
                concepts.c.run_id.in_([row.run_id for row in rows[start : start + CHUNK]]),
                concepts.c.status.in_(["completed", "failed"]),
            )
            .group_by(concepts.c.run_id, concepts.c.status)
        )
        counts |= {(run, status): n for run, status, n in counted}
    scopes = [Scope.from_json(row.scope) for row in rows]
    return [
        Run(
            run_id=row.run_id,
            roadmap_id=row.roadmap_id,
            title=row.title,
            content_hash=row.content_hash,
            status=row.status,
            reason=row.reason,
            executor=row.executor,
            total=row.total,
            completed=counts.get((row.run_id, "completed"), 0),
            failed=counts.get((row.run_id, "failed"), 0),
            fence=row.fence,
            owner=row.owner,
            takeovers=row.takeovers,
            cancel_requested=row.cancel_requested,
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
            share=Share(row.tenant, row.weight, row.priority),
            pause_requested=row.pause_requested,
            seconds=row.seconds,
            context=context_from_json(row.context),
            steps=scope.steps,
            only=scope.only,
            budget=None if row.budget is None else from_nanos(row.budget),
        )
        for row, scope in zip(rows, scopes, strict=True)
    ]
