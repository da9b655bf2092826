"""Routes of costs and budgets."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from paceline.client.render import spent_to_json
from paceline.contracts.storage.budgets import CostsBy, from_nanos

from paceline_adapters.web.backend import Backend
from paceline_adapters.web.models import BudgetsAnswer, CostsAnswer
from paceline_adapters.web.problems import responses
from paceline_adapters.web.request_checks import Reading, RequestChecks


def costs_router(backend: Backend, checks: RequestChecks) -> APIRouter:
    """Routes of costs and budgets."""
    router = APIRouter(tags=["operations"], route_class=checks.route())

    @router.get("/api/costs", responses=responses(400, 401, 422, 429, 503))
    async def show_costs(
        caller: Reading,
        by: Annotated[CostsBy, Query(description="What to sum up by.")] = "model",
        since: Annotated[date | None, Query(description="First day in UTC.")] = None,
        until: Annotated[date | None, Query(description="Last day in UTC.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="Maximum number of lines.")] = 1000,
    ) -> CostsAnswer:
        """Show what calls have cost; a tenant sees only its own."""
        lines = await caller.client(backend.client).costs(
            by,
            since=None if since is None else since.isoformat(),
            until=None if until is None else until.isoformat(),
            limit=limit,
        )
        shown = [{"name": line.name, **spent_to_json(line.spent)} for line in lines]
        return CostsAnswer.model_validate(
            {"by": by, "currency": backend.settings.provider.currency, "costs": shown}
        )

    @router.get("/api/budgets", responses=responses(400, 401, 429, 503))
    async def show_budgets(caller: Reading) -> BudgetsAnswer:
        """Show how much of each limit is used now; of all tenants only the caller's."""
        currency = backend.settings.provider.currency
        shown = [
            {
                "scope": one.account.scope,
                "tenant": one.account.subject or None,
                "model": one.account.key or None,
                "period": one.account.period,
                "limit": from_nanos(one.limit),
                "spent": from_nanos(one.spent),
                "reserved": from_nanos(one.reserved),
                "low": one.low,
                "state": one.describe(currency),
            }
            for one in await caller.client(backend.client).budgets()
        ]
        return BudgetsAnswer.model_validate({"currency": currency, "budgets": shown})

    return router
