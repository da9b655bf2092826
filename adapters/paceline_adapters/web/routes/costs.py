"""The route of costs."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from paceline.client.render import spent_to_json
from paceline.contracts.storage.budgets import CostsBy

from paceline_adapters.web.backend import Backend
from paceline_adapters.web.models import CostsAnswer
from paceline_adapters.web.problems import responses
from paceline_adapters.web.request_checks import Reading, RequestChecks


def costs_router(backend: Backend, checks: RequestChecks) -> APIRouter:
    """The route of costs."""
    router = APIRouter(tags=["operations"], route_class=checks.route())

    @router.get("/api/costs", responses=responses(400, 401, 422, 429, 503))
    async def show_costs(
        caller: Reading,
        by: Annotated[CostsBy, Query(description="What to sum up by.")] = "model",
        since: Annotated[date | None, Query(description="First day in UTC.")] = None,
        until: Annotated[date | None, Query(description="Last day in UTC.")] = None,
    ) -> CostsAnswer:
        """Show what calls have cost; a tenant sees only its own."""
        lines = await caller.client(backend.client).costs(
            by,
            since=None if since is None else since.isoformat(),
            until=None if until is None else until.isoformat(),
        )
        shown = [{"name": line.name, **spent_to_json(line.spent)} for line in lines]
        return CostsAnswer.model_validate(
            {"by": by, "currency": backend.settings.provider.currency, "costs": shown}
        )

    return router
