"""Live figures, workers and strategies; the caller's session; tickets for streams."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Annotated

from fastapi import APIRouter, Query
from paceline.client.cluster_status import MAX_RUNS, ClusterStatus, cluster_status, strategy_options
from paceline.contracts.storage.outbox import describe_sink

from paceline_adapters.web.auth import TICKET_SECONDS, Caller
from paceline_adapters.web.backend import Backend
from paceline_adapters.web.limit_history import limits_to_json
from paceline_adapters.web.models import (
    LimitList,
    LiveAnswer,
    SessionAnswer,
    SinkList,
    StrategyAnswer,
    TicketAnswer,
    WorkerList,
)
from paceline_adapters.web.problems import responses
from paceline_adapters.web.request_checks import Reading, RequestChecks
from paceline_adapters.web.run_etas import RunEtas


def live_router(backend: Backend, checks: RequestChecks) -> APIRouter:
    """Routes of live figures, workers, strategies and sessions."""
    errors = responses(400, 401, 429, 503)
    router = APIRouter(prefix="/api", tags=["live"], route_class=checks.route(), responses=errors)

    etas = RunEtas(backend)

    async def status_now() -> ClusterStatus:
        return await cluster_status(backend.store, backend.client.executor)

    async def unfinished_of(caller: Caller) -> frozenset[str]:
        runs = await caller.client(backend.client).runs(
            status=("queued", "running"), limit=MAX_RUNS
        )
        return frozenset(run.run_id for run in runs)

    @router.get("/live")
    async def live_figures(caller: Reading) -> LiveAnswer:
        """Show both layers in numbers, now and over the last minutes."""
        now = backend.figures.now
        return LiveAnswer.model_validate(
            {
                "sentence": now.totals.sentence(),
                "now": now.to_json(),
                "history": [sample.to_json() for sample in backend.figures.history],
                "etas": await etas.seen_by(caller),
            }
        )

    @router.get("/workers")
    async def list_workers(caller: Reading) -> WorkerList:
        """List every worker with its figures, and those of its runs that the caller may see."""
        status = await status_now()
        visible = None if caller.sees_all else await unfinished_of(caller)

        def filtered(runs: Iterable[str]) -> list[str]:
            return [run for run in runs if visible is None or run in visible]

        return WorkerList.model_validate(
            {
                "workers": [
                    {
                        **asdict(worker),
                        "active": filtered(worker.active),
                        "reserved": filtered(worker.reserved),
                        "trouble": {run: worker.trouble[run] for run in filtered(worker.trouble)},
                    }
                    for worker in status.workers
                ],
                "queued": status.totals.roadmaps_queued,
                "unreachable": status.unreachable,
            }
        )

    @router.get("/strategy")
    async def explain_strategy(_: Reading) -> StrategyAnswer:
        """Show the strategies with their options and current limits, and explain them."""
        status = await status_now()
        return StrategyAnswer.model_validate(
            {
                "strategy": backend.settings.strategy,
                "options": strategy_options(backend.settings, backend.app.plugins),
                "workers": [
                    {"worker_id": worker.worker_id, "explain": worker.strategy}
                    for worker in status.workers
                ],
                "why": status.why(),
                "held_back": status.held_back(),
            }
        )

    @router.get("/limits", responses=responses(422))
    async def list_limits(
        _: Reading,
        *,
        history: Annotated[
            bool, Query(description="Also show the numbers of the last minutes.")
        ] = False,
    ) -> LimitList:
        """Show every limit at work: used, quota, waiting, refused, and why it has changed."""
        samples = backend.figures.history
        why = (await status_now()).why()
        return LimitList.model_validate(
            {"limits": limits_to_json(samples, history=history), "why": why}
        )

    @router.get("/sinks")
    async def list_sinks(caller: Reading) -> SinkList:
        """Show what waits for each sink. Tenants see numbers only: a reason may name a run."""
        figures = await backend.store.sink_figures()
        if not caller.sees_all:
            figures = [replace(one, reason=None) for one in figures]
        return SinkList.model_validate(
            {"sinks": [{**asdict(one), "state": describe_sink(one)} for one in figures]}
        )

    @router.get("/session")
    async def show_session(caller: Reading) -> SessionAnswer:
        """Show the caller's tenant and scope, and the parts of this server."""
        return SessionAnswer.model_validate(
            {
                "tenant": caller.tenant,
                "scope": caller.scope,
                "operator": caller.operator,
                "token_required": checks.auth.required,
                "parts": backend.part_names(),
            }
        )

    @router.post("/tickets", status_code=201, responses=responses(403))
    async def make_ticket(caller: Reading) -> TicketAnswer:
        """Make a ticket that opens one stream. Browsers need it: their sockets send no header."""
        return TicketAnswer(ticket=checks.auth.ticket(caller), expires_in=TICKET_SECONDS)

    return router
