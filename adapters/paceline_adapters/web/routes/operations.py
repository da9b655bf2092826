"""Routes for operators: health, readiness and metrics."""

import asyncio
from collections.abc import Callable, Coroutine

from fastapi import APIRouter, Response
from paceline.client.cluster_status import cluster_status

from paceline_adapters.web.backend import Backend
from paceline_adapters.web.metrics import MEDIA_TYPE
from paceline_adapters.web.models import HealthAnswer
from paceline_adapters.web.problems import Problem, responses
from paceline_adapters.web.request_checks import Reading, RequestChecks

#: Seconds in which a part must answer for the server to be ready.
_PATIENCE = 5.0


class _Probe:
    """Probes one part. Requests at the same time share one probe."""

    def __init__(self, part: str, probe: Callable[[], Coroutine[None, None, object]]) -> None:
        self._part = part
        self._probe = probe
        self._running: asyncio.Task[object] | None = None

    async def check(self) -> None:
        """Wait until the part answers.

        Raises:
            Problem: 503, the part does not answer in time.
            PartUnavailable: the part cannot be reached.
        """
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._probe())
            # If every request timed out, nothing else retrieves the error.
            self._running.add_done_callback(lambda task: task.cancelled() or task.exception())
        done, _ = await asyncio.wait({self._running}, timeout=_PATIENCE)
        if not done:
            raise Problem(
                503, "not-ready", f"The {self._part} did not answer within {_PATIENCE:g} s."
            )
        self._running.result()


def probes_router(backend: Backend, checks: RequestChecks) -> APIRouter:
    """Routes of health and readiness, open to every client."""
    router = APIRouter(tags=["operations"], route_class=checks.route(public=True))

    @router.get("/health", responses=responses(400, 429))
    async def health() -> HealthAnswer:
        """Show that the process answers."""
        return HealthAnswer(status="ok")

    async def probe_store() -> object:
        return await backend.store.budget()

    async def probe_broker() -> object:
        # Not `check`, which uses the broker as a worker does: every client may ask often.
        return await backend.client.executor.queued()

    store, broker = _Probe("store", probe_store), _Probe("broker", probe_broker)

    @router.get("/ready", responses=responses(400, 429, 503))
    async def ready() -> HealthAnswer:
        """Show whether the server accepts work: it is not stopping, store and broker answer."""
        if not backend.ready:
            raise Problem(503, "not-ready", "The server is starting or stopping.")
        await store.check()
        await broker.check()
        return HealthAnswer(status="ready")

    return router


def metrics_router(backend: Backend, checks: RequestChecks) -> APIRouter:
    """The route of the metrics."""
    router = APIRouter(tags=["operations"], route_class=checks.route())

    @router.get(
        "/metrics",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            **responses(400, 401, 429, 503),
        },
    )
    async def show_metrics(_: Reading) -> Response:
        """Show the metrics for Prometheus."""
        status = await cluster_status(backend.store, backend.client.executor)
        backend.metrics.workers_read(await backend.store.workers())
        backend.metrics.costs_read(await backend.store.costs_of_steps())
        backend.metrics.budgets_read(await backend.client.budgets())
        text = backend.metrics.exposition(status, streams=backend.rate_limit.streams)
        return Response(text, media_type=MEDIA_TYPE)

    return router
