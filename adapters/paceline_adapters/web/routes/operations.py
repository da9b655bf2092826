"""What operators ask: is it alive, is it ready, and what are its metrics."""

import asyncio
from collections.abc import Callable, Coroutine

from fastapi import APIRouter, Response
from paceline.client.cluster_status import cluster_status

from paceline_adapters.web.backend import Backend
from paceline_adapters.web.gate import Gate, Reading
from paceline_adapters.web.metrics import MEDIA_TYPE, Metrics
from paceline_adapters.web.models import HealthAnswer
from paceline_adapters.web.problems import Problem, responses

#: Seconds that a part may take to answer before we are not ready.
_PATIENCE = 5.0


class _Part:
    """Something that has to answer. It is asked once at a time, however many want to know."""

    def __init__(self, name: str, ask: Callable[[], Coroutine[None, None, object]]) -> None:
        self._name = name
        self._ask = ask
        self._asking: asyncio.Task[object] | None = None

    async def answers(self) -> None:
        """Wait for an answer.

        Raises:
            Problem: 503, none comes.
            PartUnavailable: it cannot be reached.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask())
            # Where nobody waited long enough, a fault is nobody's.
            self._asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
        done, _ = await asyncio.wait({self._asking}, timeout=_PATIENCE)
        if not done:
            raise Problem(503, "not-ready", f"The {self._name} does not answer.")
        self._asking.result()


def operations_router(backend: Backend, gate: Gate, metrics: Metrics) -> APIRouter:
    """Routes of health and metrics."""
    router = APIRouter(tags=["operations"])
    public = APIRouter(route_class=gate.route(needs_token=False))
    guarded = APIRouter(route_class=gate.route())

    @public.get("/health", responses=responses(400, 429))
    async def health() -> HealthAnswer:
        """Say that the process answers."""
        return HealthAnswer(status="ok")

    async def ask_store() -> object:
        return await backend.store.budget()

    async def ask_broker() -> object:
        return await backend.executor.check()

    store, broker = _Part("store", ask_store), _Part("broker", ask_broker)

    @public.get("/ready", responses=responses(400, 429, 503))
    async def ready() -> HealthAnswer:
        """Say whether work can be taken: store and broker answer, and nobody told us to stop."""
        if not backend.ready:
            raise Problem(503, "not-ready", "It is starting or stopping.")
        await store.answers()
        await broker.answers()
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
        view = await cluster_status(backend.store, backend.executor)
        text = metrics.exposition(view, streams=gate.limits.streams)
        return Response(text, media_type=MEDIA_TYPE)

    router.include_router(public)
    router.include_router(guarded)
    return router
