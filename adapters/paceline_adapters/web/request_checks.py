"""The way in: every route and every socket is checked here, wherever it is mounted."""

import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, cast

from fastapi import Depends, Request, WebSocket
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from paceline import WebSettings
from starlette.requests import HTTPConnection
from starlette.responses import Response

from paceline_adapters.web.access import Access, Caller
from paceline_adapters.web.limits import Limits
from paceline_adapters.web.metrics import Metrics
from paceline_adapters.web.origin import Origins
from paceline_adapters.web.problems import Problem, problem_of

#: What every answer of the API says of itself: it is data, for nobody else to keep or to guess.
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}

_bearer = HTTPBearer(auto_error=False, description="A token of `web.tokens`, where there are some.")

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Gate:
    """Checks who comes from where, how often, and what they may.

    Args:
        web: tokens, names and limits.
        metrics: where answers are counted.

    Attributes:
        access: tells callers by their tokens.
        limits: counts requests and streams.
    """

    def __init__(self, web: WebSettings, metrics: Metrics) -> None:
        self.access = Access(web)
        self.limits = Limits(web)
        self._origins = Origins(web)
        self._metrics = metrics

    def route(self, *, needs_token: bool = True) -> type[APIRoute]:
        """A class of routes that are checked, and whose errors are problem details."""
        gate = self

        class GatedRoute(APIRoute):
            def get_route_handler(self) -> _Handler:
                handle = super().get_route_handler()

                async def gated(request: Request) -> Response:
                    begun = time.perf_counter()
                    try:
                        gate.enter(request, needs_token=needs_token)
                        response = await handle(request)
                    except Exception as error:  # noqa: BLE001
                        response = problem_of(error).response()
                    for name, value in _HEADERS.items():
                        response.headers.setdefault(name, value)
                    gate._metrics.answered(
                        request.method,
                        self.path_format,
                        response.status_code,
                        time.perf_counter() - begun,
                    )
                    return response

                return gated

        return GatedRoute

    def enter(self, request: Request, *, needs_token: bool) -> None:
        """Let a request in, and note who asks.

        Raises:
            Problem: it may not come in.
        """
        self._origins.check(request.method, request.headers)
        if needs_token:
            request.state.paceline_caller = self._caller(request)
        else:
            self.limits.request(_address(request))

    def enter_socket(self, socket: WebSocket) -> Caller:
        """Let a socket in; raises as ``enter``."""
        self._origins.check("GET", socket.headers, stream=True)
        return self._caller(socket)

    def _caller(self, connection: HTTPConnection) -> Caller:
        client = _address(connection)
        try:
            ticket = connection.query_params.get("ticket")
            if ticket and self.access.required:
                caller = self.access.redeem(ticket)
            else:
                caller = self.access.caller(connection.headers.getlist("authorization"), client)
            client = caller.name
        finally:
            self.limits.request(client)  # who guesses tokens is counted too
        return caller


def caller_of(request: Request) -> Caller:
    """Who asks, as the gate found it."""
    return cast("Caller", request.state.paceline_caller)


def _reader(
    request: Request,
    _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
) -> Caller:
    return caller_of(request)


def _writer(caller: Annotated[Caller, Depends(_reader)]) -> Caller:
    if caller.scope != "write":
        raise Problem(403, "read-only-token", "This token may only read.")
    return caller


#: Dependencies: who asks; the second refuses those who may only look.
Reading = Annotated[Caller, Depends(_reader)]
Writing = Annotated[Caller, Depends(_writer)]


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client is not None else "unknown"
