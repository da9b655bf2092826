"""The checks of requests and WebSockets: host, origin, caller, rate. The routes include them."""

import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Annotated, Any, cast

from fastapi import Depends, Request, WebSocket, params
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from paceline import UsageError
from paceline.contracts.share import check_tenant
from paceline.text import count
from starlette.requests import HTTPConnection
from starlette.responses import Response

from paceline_adapters.web.auth import Authenticator, Caller
from paceline_adapters.web.backend import Backend
from paceline_adapters.web.origin_check import OriginCheck
from paceline_adapters.web.problems import Problem, problem_of

#: Headers of every answer of the API: it is data that no cache may keep and no page may show.
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}

_bearer = HTTPBearer(auto_error=False, description="A token of `web.tokens`, if any are set.")

#: A FastAPI dependency that returns the name of a connection's tenant, or raises HTTPException.
TenantOf = Callable[..., str | Awaitable[str]]

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class RequestChecks:
    """Checks requests: their host and origin, their caller, and their rate.

    Args:
        tenant: finds the tenant of a caller, in place of tokens. Routes of callers then need
            ``dependencies``.

    Raises:
        UsageError: both ``tenant`` and tokens are given.
    """

    def __init__(self, backend: Backend, tenant: TenantOf | None) -> None:
        web = backend.settings.web
        if tenant is not None and web.tokens:
            raise UsageError(
                f"router(tenant=…) needs empty web.tokens, got {count(len(web.tokens), 'token')}: "
                "the tenant comes either from your login or from a token"
            )
        self.auth = Authenticator(web)
        self.rate_limit = backend.rate_limit
        self._origins = OriginCheck(web)
        self._metrics = backend.metrics
        self._tenant = tenant

    @property
    def dependencies(self) -> Sequence[params.Depends]:
        """What the routes of callers depend on."""
        if self._tenant is None:
            return ()

        async def identify(
            connection: HTTPConnection, tenant: Annotated[object, Depends(self._tenant)]
        ) -> None:
            caller = _caller_of_tenant(tenant, _address(connection))
            self.rate_limit.request(caller.name)
            connection.state.paceline_caller = caller

        return (Depends(identify),)

    def route(self, *, public: bool = False) -> type[APIRoute]:
        """A route class that checks requests and answers errors with problem details.

        A ``public`` route has no caller.
        """
        checks = self

        class CheckedRoute(APIRoute):
            def get_route_handler(self) -> _Handler:
                handle = super().get_route_handler()

                async def checked(request: Request) -> Response:
                    started = time.perf_counter()
                    try:
                        checks.check(request, public=public)
                        response = await handle(request)
                    except Exception as error:  # noqa: BLE001
                        response = problem_of(error).response()
                    for name, value in _HEADERS.items():
                        response.headers.setdefault(name, value)
                    checks._metrics.request_answered(
                        request.method,
                        self.path_format,
                        response.status_code,
                        time.perf_counter() - started,
                    )
                    return response

                return checked

        return CheckedRoute

    def check(self, request: Request, *, public: bool) -> None:
        """Check a request, and note its caller if a token identifies it.

        Raises:
            Problem: the request is refused.
        """
        self._origins.check(request.method, request.headers)
        if public:
            self.rate_limit.request(_address(request))
        elif self._tenant is None:
            request.state.paceline_caller = self._caller(request)

    def check_socket(self, socket: WebSocket) -> Caller:
        """Check the opening of a WebSocket; raises as ``check``."""
        self._origins.check("GET", socket.headers, stream=True)
        return self._caller(socket) if self._tenant is None else caller_of(socket)

    def _caller(self, connection: HTTPConnection) -> Caller:
        client = _address(connection)
        try:
            ticket = connection.query_params.get("ticket")
            if ticket and self.auth.required:
                caller = self.auth.redeem(ticket)
            else:
                caller = self.auth.caller(connection.headers.getlist("authorization"), client)
            client = caller.name
        finally:
            self.rate_limit.request(client)  # a client that guesses tokens is limited too
        return caller


def caller_of(connection: HTTPConnection) -> Caller:
    """The caller of a checked request or WebSocket."""
    return cast("Caller", connection.state.paceline_caller)


def _caller_of_tenant(tenant: object, address: str) -> Caller:
    """The caller of a tenant that the host application has found.

    Raises:
        TypeError: the tenant is not the name of a tenant.
    """
    try:
        name = check_tenant(tenant)
    except UsageError as error:
        raise TypeError(f"the dependency of router(tenant=…) returned no tenant: {error}") from None
    return Caller(name, "write", f"{name}@{address}")


def _reader(
    request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None
) -> Caller:
    return caller_of(request)


def _writer(caller: Annotated[Caller, Depends(_reader)]) -> Caller:
    if caller.scope != "write":
        raise Problem(403, "read-only-token", "This token is read-only.")
    return caller


#: Dependencies that give the caller; ``Writing`` refuses callers with a read-only token.
Reading = Annotated[Caller, Depends(_reader)]
Writing = Annotated[Caller, Depends(_writer)]


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client is not None else "unknown"
