"""Both layers, workers, strategy; who asks; tickets for streams."""

from collections.abc import Sequence
from dataclasses import asdict

from fastapi import APIRouter
from paceline.client.cluster_status import MOST_RUNS, ClusterStatus, cluster_status
from paceline.settings.load import options_for

from paceline_adapters.web.access import TICKET_SECONDS, Caller
from paceline_adapters.web.backend import Backend
from paceline_adapters.web.gate import Gate, Reading
from paceline_adapters.web.models import (
    LiveAnswer,
    SessionAnswer,
    StrategyAnswer,
    TicketAnswer,
    WorkerList,
)
from paceline_adapters.web.problems import responses


def live_router(backend: Backend, gate: Gate) -> APIRouter:
    """Routes of what goes on now."""
    errors = responses(400, 401, 429, 503)
    router = APIRouter(prefix="/api", tags=["live"], route_class=gate.route(), responses=errors)

    async def look() -> ClusterStatus:
        return await cluster_status(backend.store, backend.executor)

    async def unfinished_of(caller: Caller) -> frozenset[str]:
        found = await backend.store.runs(
            status=("queued", "running"), tenants=caller.tenants, limit=MOST_RUNS
        )
        return frozenset(run.run_id for run in found)

    @router.get("/live")
    async def live_figures(_: Reading) -> LiveAnswer:
        """Both layers, now and over the last minutes."""
        now = backend.figures.now
        return LiveAnswer.model_validate(
            {
                "sentence": now.sentence,
                "now": now.to_json(),
                "history": [sample.to_json() for sample in backend.figures.history],
            }
        )

    @router.get("/workers")
    async def list_workers(caller: Reading) -> WorkerList:
        """List every worker, and what it does; of its runs, those that the caller may see."""
        view = await look()
        own = None if caller.everyone else await unfinished_of(caller)

        def seen(runs: Sequence[str]) -> list[str]:
            return [run for run in runs if own is None or run in own]

        return WorkerList.model_validate(
            {
                "workers": [
                    {
                        **asdict(worker),
                        "active": seen(worker.active),
                        "reserved": seen(worker.reserved),
                    }
                    for worker in view.workers
                ],
                "unreachable": view.unreachable,
            }
        )

    @router.get("/strategy")
    async def explain_strategy(_: Reading) -> StrategyAnswer:
        """Say which strategies decide, what their limits are now, and why."""
        view = await look()
        settings = backend.settings
        options = {
            name: backend.plugins.strategy(name)
            .check(options_for(settings.strategies, name), f"strategies.{name}")
            .model_dump(mode="json")
            for name in settings.strategy
        }
        return StrategyAnswer.model_validate(
            {
                "strategy": settings.strategy,
                "options": options,
                "workers": [
                    {"worker_id": worker.worker_id, "explain": worker.strategy}
                    for worker in view.workers
                ],
                "why": view.why(),
            }
        )

    @router.get("/session")
    async def show_session(caller: Reading) -> SessionAnswer:
        """Say who asks, and what paceline is made of here."""
        return SessionAnswer.model_validate(
            {
                "tenant": caller.tenant,
                "scope": caller.scope,
                "token_required": gate.access.required,
                "parts": backend.parts(),
            }
        )

    @router.post("/tickets", status_code=201, responses=responses(403))
    async def make_ticket(caller: Reading) -> TicketAnswer:
        """Make a ticket that opens one stream, for browsers: a socket sends no header."""
        return TicketAnswer(ticket=gate.access.ticket(caller), expires_in=TICKET_SECONDS)

    return router
