"""What operators ask: is it alive, is it ready, and what are its metrics."""

import asyncio

from fastapi import APIRouter, Response
from paceline.overview import overview

from paceline_adapters.web.backend import Backend
from paceline_adapters.web.gate import Gate, Reading
from paceline_adapters.web.metrics import MEDIA_TYPE, Metrics
from paceline_adapters.web.models import HealthAnswer
from paceline_adapters.web.problems import Problem, responses

#: Seconds that the store may take to answer before we are not ready.
_PATIENCE = 5.0


def operations_router(backend: Backend, gate: Gate, metrics: Metrics) -> APIRouter:
    """Routes of health and metrics."""
    router = APIRouter(tags=["operations"])
    public = APIRouter(route_class=gate.route(needs_token=False))
    guarded = APIRouter(route_class=gate.route())

    @public.get("/health", responses=responses(400, 429))
    async def health() -> HealthAnswer:
        """Say that the process answers."""
        return HealthAnswer(status="ok")

    @public.get("/ready", responses=responses(400, 429, 503))
    async def ready() -> HealthAnswer:
        """Say whether work can be taken: the store answers, and nobody told us to stop."""
        if not backend.ready:
            raise Problem(503, "not-ready", "It is starting or stopping.")
        try:
            async with asyncio.timeout(_PATIENCE):
                await backend.store.budget()
        except TimeoutError:
            raise Problem(503, "not-ready", "The store does not answer.") from None
        return HealthAnswer(status="ready")

    @guarded.get(
        "/metrics",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            **responses(400, 401, 429, 503),
        },
    )
    async def show_metrics(_: Reading) -> Response:
        """Metrics for Prometheus."""
        view = await overview(backend.store, backend.executor)
        text = metrics.exposition(view, streams=gate.limits.streams)
        return Response(text, media_type=MEDIA_TYPE)

    router.include_router(public)
    router.include_router(guarded)
    return router
