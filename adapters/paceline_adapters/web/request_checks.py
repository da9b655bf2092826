"""The checks of requests and WebSockets: host, origin, token, rate. The routes include them."""

import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, cast

from fastapi import Depends, Request, WebSocket
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from paceline import WebSettings
from starlette.requests import HTTPConnection
from starlette.responses import Response

from paceline_adapters.web.auth import Authenticator, Caller
from paceline_adapters.web.metrics import Metrics
from paceline_adapters.web.origin_check import OriginCheck
from paceline_adapters.web.problems import Problem, problem_of
from paceline_adapters.web.rate_limit import RateLimit

#: Headers of every answer of the API: it is data that no cache may keep and no page may show.
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}

_bearer = HTTPBearer(auto_error=False, description="A token of `web.tokens`, if any are set.")

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class RequestChecks:
    """Checks requests: their host and origin, their token, and their rate."""

    def __init__(self, web: WebSettings, metrics: Metrics) -> None:
        self.auth = Authenticator(web)
        self.rate_limit = RateLimit(web)
        self._origins = OriginCheck(web)
        self._metrics = metrics

    def route(self, *, needs_token: bool = True) -> type[APIRoute]:
        """A route class that checks requests and answers errors with problem details."""
        checks = self

        class CheckedRoute(APIRoute):
            def get_route_handler(self) -> _Handler:
                handle = super().get_route_handler()

                async def checked(request: Request) -> Response:
                    started = time.perf_counter()
                    try:
                        checks.check(request, needs_token=needs_token)
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

    def check(self, request: Request, *, needs_token: bool) -> None:
        """Check a request, and note its caller.

        Raises:
            Problem: the request is refused.
        """
        self._origins.check(request.method, request.headers)
        if needs_token:
            request.state.paceline_caller = self._caller(request)
        else:
            self.rate_limit.request(_address(request))

    def check_socket(self, socket: WebSocket) -> Caller:
        """Check the opening of a WebSocket; raises as ``check``."""
        self._origins.check("GET", socket.headers, stream=True)
        return self._caller(socket)

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


def caller_of(request: Request) -> Caller:
    """The caller of a checked request."""
    return cast("Caller", request.state.paceline_caller)


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
