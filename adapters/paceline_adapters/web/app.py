"""The whole application, and its routes for use in another application."""

from http import HTTPStatus
from importlib import metadata
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import FileResponse, Response
from starlette.routing import compile_path
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paceline_adapters.web.backend import Backend
from paceline_adapters.web.head_requests import HeadRequests
from paceline_adapters.web.problems import problem_of
from paceline_adapters.web.request_checks import RequestChecks, TenantOf
from paceline_adapters.web.routes.concepts import concepts_router
from paceline_adapters.web.routes.controls import controls_router
from paceline_adapters.web.routes.costs import costs_router
from paceline_adapters.web.routes.events import events_router
from paceline_adapters.web.routes.live import live_router
from paceline_adapters.web.routes.operations import metrics_router, probes_router
from paceline_adapters.web.routes.runs import runs_router
from paceline_adapters.web.routes.timeline import timeline_router
from paceline_adapters.web.routes.versions import versions_router
from paceline_adapters.web.sockets import sockets_router

#: The page may load its own files and connect to its own server, nothing else.
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def router(backend: Backend, *, tenant: TenantOf | None = None) -> APIRouter:
    """Every route of the API and the WebSockets, to include in your own application.

    The routes check tokens, origins and limits, and answer errors with problem details. Open the
    backend before the first request.

    Args:
        backend: paceline's parts.
        tenant: a FastAPI dependency that returns the tenant of a request or WebSocket, or raises
            ``HTTPException``. The caller then sees and steers only the runs of this tenant.
            Health and readiness do not call it. There is no ``/metrics``, because it is for
            operators.

    Raises:
        UsageError: both ``tenant`` and ``web.tokens`` are given.
    """
    checks = RequestChecks(backend, tenant)
    of_callers = APIRouter(dependencies=checks.dependencies)
    of_callers.include_router(runs_router(backend, checks))
    of_callers.include_router(events_router(backend, checks))
    of_callers.include_router(timeline_router(backend, checks))
    of_callers.include_router(versions_router(backend, checks))  # the next one has a catch-all
    of_callers.include_router(concepts_router(backend, checks))
    of_callers.include_router(live_router(backend, checks))
    of_callers.include_router(costs_router(backend, checks))
    of_callers.include_router(controls_router(backend, checks))
    of_callers.include_router(sockets_router(backend, checks))
    routes = APIRouter()
    routes.include_router(of_callers)
    routes.include_router(probes_router(backend, checks))
    if tenant is None:
        routes.include_router(metrics_router(backend, checks))
    return routes


def create_app(backend: Backend, *, tenant: TenantOf | None = None) -> FastAPI:
    """The API, the WebSockets and the page as one application, to serve or to mount.

    Open the backend before the first request. ``tenant`` is as for ``router``; it does not
    protect the files of the page.
    """
    app = FastAPI(
        title="paceline",
        version=metadata.version("paceline"),
        summary="Generate learning content for roadmaps, and watch the progress.",
        docs_url=None,  # its page loads scripts from another site
        redoc_url=None,
    )
    app.include_router(router(backend, tenant=tenant))
    page = Path(str(files("paceline_adapters.web"))) / "page"

    @app.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        return FileResponse(page / "index.html")

    app.mount("/page", StaticFiles(directory=page), name="page")

    async def problem(request: Request, error: Exception) -> Response:
        response = problem_of(error).response()
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = _allowed(app, request.scope["path"].removeprefix(request.scope["root_path"]))
            if allowed:
                response.headers["Allow"] = ", ".join(allowed)
        return response

    for kind in (HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, problem)

    app.add_middleware(_PageHeaders)
    app.add_middleware(HeadRequests)
    if origins := backend.settings.web.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=[origin.lower().rstrip("/") for origin in origins],
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
            expose_headers=["Location", "Retry-After"],
        )
    return app


def _allowed(app: FastAPI, path: str) -> list[str]:
    """All methods of a path. One route knows only its own methods."""
    methods: set[str] = set()
    for template, operations in app.openapi()["paths"].items():
        pattern, _, _ = compile_path(template)
        if pattern.match(path):
            methods |= {method.upper() for method in operations}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


class _PageHeaders:
    """Adds the page's security headers to answers that do not set them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _PAGE_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)
