"""Searching runs in SQL, each page along an index."""

from collections.abc import Sequence
from itertools import product
from typing import Any

from paceline import Run
from paceline.contracts.identity import run_id_at
from paceline.contracts.storage.run_search import SCANNED, FoundRuns, RunSearch, RunTotals
from sqlalchemy import ColumnElement, Select, bindparam, func, not_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.cost_queries import spent_by_run
from paceline_adapters.sql.run_rows import COLUMNS, as_runs
from paceline_adapters.sql.tables import artifacts, runs

_TITLED: tuple[ColumnElement[Any], ...] = (runs.c.run_id, runs.c.roadmap_id, runs.c.title)


async def search_runs(
    connection: AsyncConnection,
    search: RunSearch,
    *,
    limit: int,
    after: str | None,
    totals: bool,
) -> FoundRuns:
    """One page of a search, as ``RunStore.find_runs`` says.

    A search for a text looks at a bounded number of titles, so that its time does not grow with
    the number of runs.
    """
    scanned = SCANNED if search.text else limit
    rows = (await connection.execute(_candidates(search, scanned, after))).all()
    ids = [
        row.run_id
        for row in rows
        if not search.text or search.has_text(row.run_id, row.roadmap_id, row.title)
    ]
    cursor = None
    if search.text and len(ids) > limit:
        cursor = ids[limit - 1]
    elif len(rows) == scanned:
        cursor = rows[-1].run_id
    found = await _read(connection, ids[:limit])
    return FoundRuns(
        runs=found,
        cursor=cursor,
        totals=await read_totals(connection, ids[:limit]) if totals else {},
    )


async def read_totals(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, RunTotals]:
    """The totals of some runs: three queries for all of them."""
    counted = await connection.execute(
        select(artifacts.c.run_id, func.count().label("made"))
        .where(artifacts.c.run_id.in_(ids))
        .group_by(artifacts.c.run_id)
    )
    counts = {row.run_id: int(row.made) for row in counted}
    spent = await spent_by_run(connection, ids)
    return {one: RunTotals(artifacts=counts.get(one, 0), spent=spent[one]) for one in ids}


async def _read(connection: AsyncConnection, ids: Sequence[str]) -> list[Run]:
    query = select(*COLUMNS).where(runs.c.run_id.in_(ids), not_(runs.c.purging))
    found = await as_runs(connection, (await connection.execute(query)).all()) if ids else []
    return sorted(found, key=lambda run: ids.index(run.run_id))


def _candidates(search: RunSearch, limit: int, after: str | None) -> Select[Any]:
    """Ids and titles of the runs that meet all conditions but the text."""
    number = runs.c.run_id
    bounds: list[ColumnElement[bool]] = [not_(runs.c.purging)]
    if search.since is not None:
        bounds.append(number >= run_id_at(search.since))
    if search.until is not None:
        bounds.append(number < run_id_at(search.until))
    if after is not None:
        bounds.append(number > after if search.oldest_first else number < after)
    if search.roadmap_id is not None:
        bounds.append(runs.c.roadmap_id == search.roadmap_id)

    def part(*conditions: ColumnElement[bool]) -> Select[Any]:
        query = select(*_TITLED).where(*conditions, *bounds)
        return query.order_by(number if search.oldest_first else number.desc()).limit(limit)

    choices = [
        [runs.c.tenant == one for one in dict.fromkeys(search.tenants)],
        # Written into the statement: see ``SqlRuns.runs``.
        [
            runs.c.status == bindparam("status", one, unique=True, literal_execute=True)
            for one in dict.fromkeys(search.status)
        ],
    ]
    chosen = list(product(*(some for some in choices if some)))
    if len(chosen) == 1:
        return part(*chosen[0])
    parts = union_all(*(select(part(*one).subquery()) for one in chosen)).subquery()
    order = parts.c.run_id if search.oldest_first else parts.c.run_id.desc()
    return select(parts).order_by(order).limit(limit)
