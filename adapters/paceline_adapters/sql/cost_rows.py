"""Rows of ``costs``: what all calls cost by day, tenant, model and step."""

import os
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import cache

from paceline.contracts.storage.budgets import MAX_TENANTS, to_nanos
from paceline.contracts.storage.spending import Spent
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.columns import now
from paceline_adapters.sql.insert import Upsert, insert_into
from paceline_adapters.sql.tables import costs
from paceline_adapters.sql.url import Dialect

#: Number of rows that share one day, tenant, model and step.
_SHARDS = 16
_KEY = ("day", "tenant", "model", "step", "shard")
SUMS = ("attempts", "prompt_tokens", "completion_tokens", "cost", "priced", "estimated")


@cache
def _add(dialect: Dialect) -> Upsert:
    statement = insert_into(costs, dialect)
    return statement.on_conflict_do_update(
        index_elements=_KEY, set_={name: costs.c[name] + statement.excluded[name] for name in SUMS}
    )


class CostDeltas:
    """What one transaction adds to the costs, by tenant, model and step."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0] * len(SUMS))

    def add(self, tenant: str, model: str, step: str, spent: Spent, sign: int = 1) -> None:
        """Add what calls cost; ``sign`` is -1 if that is counted elsewhere now."""
        sums = self._sums[tenant, model, step]
        for at, value in enumerate(sums_of(spent)):
            sums[at] += sign * value

    async def write(self, connection: AsyncConnection, dialect: Dialect) -> None:
        """Write the sums, as the last statement: other transactions of the process wait."""
        changed = {key: sums for key, sums in self._sums.items() if any(sums)}
        if not changed:
            return
        day = await today(connection)
        shard = os.getpid() % _SHARDS
        rows: list[dict[str, object]] = [
            dict(zip((*_KEY, *SUMS), (day, *key, shard, *sums), strict=True))
            for key, sums in sorted(changed.items())  # in one order, so they cannot deadlock
        ]
        await connection.execute(_add(dialect), rows)


def sums_of(spent: Spent) -> tuple[int, ...]:
    """The sums of some calls, in the order of ``SUMS``."""
    cost = 0 if spent.cost is None else to_nanos(spent.cost)
    priced = 0 if spent.cost is None else spent.attempts
    estimated = spent.attempts if spent.estimated else 0
    return (
        spent.attempts,
        spent.prompt_tokens,
        spent.completion_tokens,
        cost,
        priced,
        estimated,
    )


async def today(connection: AsyncConnection) -> str:
    """The day in UTC by the database's clock, as ``2026-11-30``."""
    instant: datetime = (await connection.execute(select(now()))).scalar_one()
    return instant.date().isoformat()


async def spending_tenants(connection: AsyncConnection, day: str) -> Sequence[str]:
    """The tenants that spent most on a day."""
    query = select(costs.c.tenant).where(costs.c.day == day).group_by(costs.c.tenant)
    query = query.order_by(func.sum(costs.c.cost).desc(), costs.c.tenant).limit(MAX_TENANTS)
    return (await connection.scalars(query)).all()


async def spent_between(
    connection: AsyncConnection, first: str, last: str, *, tenants: tuple[str, ...]
) -> dict[str, int]:
    """Nanos that calls cost from one day to another, by model; of some tenants if given."""
    query = select(costs.c.model, func.sum(costs.c.cost)).where(costs.c.day.between(first, last))
    if tenants:
        query = query.where(costs.c.tenant.in_(tenants))
    rows = await connection.execute(query.group_by(costs.c.model))
    return {model: int(cost) for model, cost in rows}
