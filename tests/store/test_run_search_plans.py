"""A page of a search reads few rows, however many runs have ended."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from paceline.contracts.storage.run_search import SCANNED, RunSearch
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql.store import SqlStore
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.databases import PostgresPlace, SqlitePlace
from tests.support.many_runs import fill_with_runs

RUNS = 10_000
LIMIT = 50
NOW = datetime.now(UTC)

#: Every condition, alone and together, where many runs match, few, or none.
SEARCHES = (
    RunSearch(),
    RunSearch(oldest_first=True),
    RunSearch(status=("completed",)),
    RunSearch(status=("paused",)),
    RunSearch(status=("queued", "running", "paused")),
    RunSearch(status=("partial", "failed"), oldest_first=True),
    RunSearch(tenants=("acme",)),
    RunSearch(tenants=("rare",)),
    RunSearch(tenants=("", "default"), status=("paused", "cancelled")),
    RunSearch(roadmap_id="r7"),
    RunSearch(roadmap_id="r7", tenants=("acme",)),
    RunSearch(since=NOW - timedelta(days=1)),
    RunSearch(until=NOW - timedelta(days=1)),
    RunSearch(since=NOW - timedelta(days=1), status=("cancelled",), tenants=("acme",)),
)
TEXTS = (RunSearch(text="course 77"), RunSearch(text="no such title", status=("completed",)))

#: Rows of ``runs`` that one page may read: each part of a union reads a page, and each run is
#: read once more with all its columns.
MOST_ROWS = 4 * LIMIT
#: Instructions that SQLite may take for one of them. A scan of all runs takes 40 000.
MOST_INSTRUCTIONS = 6_000


class Recorded:
    """The statements of a store, with their parameters."""

    def __init__(self, store: SqlStore) -> None:
        self.sent: list[tuple[str, Any]] = []
        event.listen(store._database._engine.sync_engine, "before_cursor_execute", self._add)

    def _add(self, *event_arguments: Any) -> None:
        _connection, _cursor, statement, parameters, *_ = event_arguments
        self.sent.append((statement, parameters))

    async def of(self, store: SqlStore, search: RunSearch) -> list[tuple[str, Any]]:
        """The statements of the first two pages."""
        self.sent.clear()
        page = await store.find_runs(search, limit=LIMIT, totals=True)
        if page.cursor is not None:
            await store.find_runs(search, limit=LIMIT, after=page.cursor, totals=True)
        return [one for one in self.sent if " runs" in one[0]]


@real_time
async def test_a_page_of_a_search_is_read_along_an_index_in_sqlite(
    sqlite_place: SqlitePlace,
) -> None:
    async with sqlite_place.store() as store:
        assert isinstance(store, SqlStore)
        await fill_with_runs(store, RUNS)
        recorded = Recorded(store)
        found = {search: await recorded.of(store, search) for search in (*SEARCHES, *TEXTS)}
    connection = sqlite3.connect(sqlite_place.path)
    for search, statements in found.items():
        assert statements
        for statement, parameters in statements:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            steps = [str(step) for *_, step in plan]
            assert not any(step.startswith("SCAN runs") and "INDEX" not in step for step in steps)
            taken = instructions(connection, statement, parameters)
            most = MOST_INSTRUCTIONS * (SCANNED // LIMIT if search.text else 1)
            assert taken <= most, (search, taken, statement, steps)
    connection.close()


def instructions(connection: sqlite3.Connection, statement: str, parameters: Any) -> int:
    """Number of instructions of SQLite's machine, in hundreds."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 100
        return 0

    connection.set_progress_handler(count, 100)
    connection.execute(statement, parameters).fetchall()
    connection.set_progress_handler(None, 0)
    return taken


@real_time
async def test_a_page_of_a_search_reads_few_rows_in_postgresql(
    postgres_place: PostgresPlace,
) -> None:
    async with postgres_place.store() as store:
        assert isinstance(store, SqlStore)
        await fill_with_runs(store, RUNS)
        recorded = Recorded(store)
        for search in (*SEARCHES, *TEXTS):
            statements = await recorded.of(store, search)
            assert statements
            for statement, parameters in statements:
                plan = await explained(store, statement, parameters)
                read = sum(map(rows_read, nodes(plan)))
                assert read <= (SCANNED + LIMIT if search.text else MOST_ROWS), (search, read, plan)


async def explained(store: SqlStore, statement: str, parameters: Any) -> dict[str, Any]:
    """The plan of a statement, with the numbers of rows that it read."""

    async def read(connection: AsyncConnection) -> Any:
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
        result = await connection.exec_driver_sql(explain, parameters)
        return result.scalar_one()

    answer = await store._database.read(read)
    plan = json.loads(answer) if isinstance(answer, str) else answer
    found: dict[str, Any] = plan[0]["Plan"]
    return found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's steps."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def rows_read(node: dict[str, Any]) -> int:
    """Rows of the table of runs that a step read, with those that it dropped."""
    if node.get("Relation Name") != "runs":
        return 0
    each = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return round(float(each) * float(node["Actual Loops"]))
