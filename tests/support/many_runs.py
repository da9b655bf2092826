"""A store with thousands of runs, written to its tables at once."""

from paceline_adapters.sql.store import SqlStore
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks.ended_runs_filling import fill

#: They give runs statuses and tenants that are common, rare and very rare.
_CHANGES = (
    "UPDATE runs SET title = 'Course ' || generation, total = 1",
    "UPDATE runs SET status = 'partial' WHERE generation % 10 = 0",
    "UPDATE runs SET status = 'cancelled' WHERE generation % 500 = 1",
    "UPDATE runs SET status = 'paused', finished_at = NULL WHERE generation <= 3",
    "UPDATE runs SET tenant = 'rare' WHERE generation BETWEEN 10 AND 12",
    "UPDATE concepts SET status = 'failed' WHERE run_id IN "
    "(SELECT run_id FROM runs WHERE status = 'partial')",
    "UPDATE concepts SET status = 'pending' WHERE run_id IN "
    "(SELECT run_id FROM runs WHERE status IN ('paused', 'cancelled'))",
)


async def fill_with_runs(store: SqlStore, count: int) -> None:
    """Add ended runs of one concept each, named ``Course 1`` to ``Course N``, the oldest first.

    Every tenth is ``partial``, every five-hundredth ``cancelled``, and the oldest three are
    ``paused``. Every second belongs to the tenant ``acme``, and three to ``rare``.
    """
    await fill(store, count, 1)
    for change in (*_CHANGES, "ANALYZE"):

        async def write(connection: AsyncConnection, sql: str = change) -> None:
            await connection.execute(text(sql))

        await store._database.write(write)
