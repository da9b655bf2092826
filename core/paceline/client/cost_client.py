"""The part of the client that sums up costs, and shows how much of the budgets is used."""

from abc import ABC
from collections.abc import Sequence
from datetime import date

from paceline.client.tenant_scope import TenantScope
from paceline.contracts.storage.budgets import AccountFigures, CostLine, CostsBy
from paceline.contracts.storage.store import Store
from paceline.errors import UsageError
from paceline.generation.parts import ClientParts


class CostClient(ABC):
    """Sums up what calls have cost, and what is left of budgets; see ``Client``."""

    _parts: ClientParts
    _scope: TenantScope
    store: Store

    async def costs(
        self,
        by: CostsBy = "model",
        *,
        since: str | None = None,
        until: str | None = None,
        limit: int = 1000,
    ) -> Sequence[CostLine]:
        """What calls have cost, of purged runs too unless ``by`` is ``run``.

        Args:
            by: what to sum up by. A line with an empty name sums up what has no name: runs
                without a tenant, or calls of a model that is not known.
            since: first day in UTC, as ``2026-11-30``. Runs count on the day of their submission.
            until: last day in UTC.
            limit: maximum number of lines.

        Raises:
            UsageError: a day is not valid.
            PartUnavailable: the store cannot be reached.
        """
        for name, day in (("since", since), ("until", until)):
            try:
                valid = day is None or date.fromisoformat(day).isoformat() == day
            except ValueError:
                valid = False
            if not valid:
                raise UsageError(f"{name} must be a day such as 2026-11-30, got {day!r}")
        return await self.store.costs(
            by, tenants=self._scope.names, since=since, until=until, limit=limit
        )

    async def budgets(self) -> Sequence[AccountFigures]:
        """How much of each limit of the strategy ``budget`` is used, without limits of runs.

        All clients see the limits of the day and the month, which runs of all tenants share. A
        client of a tenant sees the limit of its tenant, and other clients those of the tenants
        that spent most today.

        Raises:
            PartUnavailable: the store cannot be reached.
        """
        limits = self._parts.budget_limits()
        if limits is None:
            return []
        return await self.store.account_figures(limits, tenants=self._scope.names[:1])
