"""Sums of what calls cost, in SQL."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from paceline.contracts.storage.budgets import CostLine, CostsBy, from_nanos, to_nanos
from paceline.contracts.storage.spending import Spent
from sqlalchemy import ColumnElement, Integer, Row, cast, func, not_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.cost_rows import SUMS
from paceline_adapters.sql.tables import artifacts, charges, costs, past_versions, runs


async def read_costs(
    connection: AsyncConnection,
    by: CostsBy,
    *,
    tenants: Sequence[str],
    since: str | None,
    until: str | None,
    limit: int,
) -> list[CostLine]:
    """Sum up what calls have cost, as ``BudgetStore.costs`` says."""
    if by == "run":
        return await _by_run(connection, tenants, since, until, limit)
    column = costs.c[by]
    query = select(column.label("name"), *(func.sum(costs.c[one]).label(one) for one in SUMS))
    if tenants:
        query = query.where(costs.c.tenant.in_(tenants))
    if since is not None:
        query = query.where(costs.c.day >= since)
    if until is not None:
        query = query.where(costs.c.day <= until)
    order = column.desc() if by == "day" else column
    rows = await connection.execute(query.group_by(column).order_by(order).limit(limit))
    return [CostLine(name=row.name, spent=_spent(row)) for row in rows]


async def read_costs_of_steps(connection: AsyncConnection) -> dict[tuple[str, str], Spent]:
    """Sum up what all calls cost, as ``BudgetStore.costs_of_steps`` says."""
    sums = (func.sum(costs.c[one]).label(one) for one in SUMS)
    query = select(costs.c.model, costs.c.step, *sums).group_by(costs.c.model, costs.c.step)
    return {(row.model, row.step): _spent(row) for row in await connection.execute(query)}


async def read_costs_of_models(connection: AsyncConnection, run_id: str) -> dict[str, int]:
    """Nanos that the artifacts of a run cost, past versions too, by the reported model."""
    found: dict[str, int] = {}
    for table in (artifacts, past_versions):
        query = select(table.c.model, func.sum(table.c.cost)).where(table.c.run_id == run_id)
        for model, cost in await connection.execute(query.group_by(table.c.model)):
            found[model] = found.get(model, 0) + to_nanos(cost or 0.0)
    return found


def _spent(row: Row[Any]) -> Spent:
    return Spent(
        attempts=int(row.attempts),
        prompt_tokens=int(row.prompt_tokens),
        completion_tokens=int(row.completion_tokens),
        cost=from_nanos(int(row.cost)) if row.priced else None,
        estimated=row.estimated > 0,
    )


async def _by_run(
    connection: AsyncConnection,
    tenants: Sequence[str],
    since: str | None,
    until: str | None,
    limit: int,
) -> list[CostLine]:
    """The costs of the newest runs; three queries for all of them."""
    newest = select(runs.c.run_id).where(not_(runs.c.purging), *_submitted(since, until))
    if tenants:
        newest = newest.where(runs.c.tenant.in_(tenants))
    newest = newest.order_by(runs.c.run_id.desc()).limit(limit)
    ids = (await connection.scalars(newest)).all()
    spent = await spent_by_run(connection, ids)
    return [CostLine(name=run_id, spent=spent[run_id]) for run_id in ids]


async def spent_by_run(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, Spent]:
    """What all calls of some runs cost."""
    spent = {run_id: Spent() for run_id in ids}
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        parts = [
            select(
                table.c.run_id,
                func.sum(table.c.attempts).label("attempts"),
                func.sum(table.c.prompt_tokens).label("prompt_tokens"),
                func.sum(table.c.completion_tokens).label("completion_tokens"),
                func.sum(table.c.cost).label("cost"),
                func.max(cast(table.c.estimated, Integer)).label("estimated"),
            )
            .where(table.c.run_id.in_(some))
            .group_by(table.c.run_id)
            for table in (artifacts, past_versions, charges)
        ]
        for row in await connection.execute(union_all(*parts)):
            spent[row.run_id] += Spent(
                attempts=int(row.attempts),
                prompt_tokens=int(row.prompt_tokens),
                completion_tokens=int(row.completion_tokens),
                cost=row.cost,
                estimated=bool(row.estimated),
            )
    return spent


def _submitted(since: str | None, until: str | None) -> list[ColumnElement[bool]]:
    """Conditions on the day of a run's submission."""
    found: list[ColumnElement[bool]] = []
    if since is not None:
        found.append(
            runs.c.created_at >= datetime.combine(date.fromisoformat(since), time.min, UTC)
        )
    if until is not None:
        after = date.fromisoformat(until) + timedelta(days=1)
        found.append(runs.c.created_at < datetime.combine(after, time.min, UTC))
    return found
