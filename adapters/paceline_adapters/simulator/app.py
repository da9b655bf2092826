"""The HTTP routes."""

import asyncio
import hmac
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from paceline_adapters.simulator.delivery import deliver
from paceline_adapters.simulator.engine import Call, Engine, Identity
from paceline_adapters.simulator.figures import Ending
from paceline_adapters.simulator.request_log import RequestLog
from paceline_adapters.simulator.wire import (
    ApiError,
    Envelope,
    model_card,
    read_request,
    unknown_model,
)

#: Maximum size of a request body in bytes.
MAX_BODY = 4 * 2**20

_CHAT = "/v1/chat/completions"
#: nginx's status for a client that disconnected before the response.
_CLIENT_GONE = 499

#: Options that can be changed at run time, and their names in the quota.
_LIMITS = {"rpm": "requests", "tpm": "tokens", "max_concurrency": "concurrency"}
_EXPECTED = f"allowed are {', '.join(_LIMITS)}, each a number above 0"

_logger = logging.getLogger("paceline.simulator")


@dataclass(slots=True)
class _RequestState:
    """State of one HTTP request; it is written to the request log."""

    id: str = field(default_factory=lambda: f"req_{uuid.uuid4().hex}")
    arrived: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    started: float = field(default_factory=time.time)
    limits: dict[str, str] | None = None
    identity: Identity | None = None
    call: Call | None = None


_STATE = web.RequestKey("paceline_state", _RequestState)


class Routes:
    """Translates between HTTP and the engine."""

    def __init__(self, engine: Engine, request_log: RequestLog) -> None:
        self._engine = engine
        self._request_log = request_log
        key = engine.options.api_key
        self._bearer = f"Bearer {key.get_secret_value()}".encode() if key else None

    def app(self) -> web.Application:
        """The web application."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._guarded])
        app.on_response_prepare.append(self._add_headers)
        app.add_routes(
            [
                web.post(_CHAT, self._complete),
                web.get("/v1/models", self._models),
                web.get("/v1/models/{name:.+}", self._model),
                web.get("/__paceline/stats", self._stats),
                web.post("/__paceline/reset", self._reset),
                web.post("/__paceline/limits", self._limits),
                web.get("/healthz", self._health),
            ]
        )
        return app

    @web.middleware
    async def _guarded(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Check the key, and return every error in OpenAI's format."""
        state = request[_STATE] = _RequestState()
        status = _CLIENT_GONE
        try:
            self._check_key(request)
            response = await handler(request)
            status = response.status
        except ApiError as error:
            status = error.status
            if status < 429:
                self._engine.counters.count_invalid()
            return web.json_response(error.body, status=status, headers=error.headers)
        except web.HTTPException as error:
            status = error.status
            path = f"{request.method} {request.path}"
            wrong = ApiError(status, f"{error.reason} ({path})")
            if request.path == _CHAT:
                self._engine.counters.count_invalid()
            return web.json_response(wrong.body, status=status)
        else:
            return response
        finally:
            if request.path == _CHAT:
                self._log(state, status)

    def _check_key(self, request: web.Request) -> None:
        if self._bearer is None or request.path == "/healthz":
            return
        given = request.headers.get("authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._bearer):
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        state = request.get(_STATE)
        if state is None:  # the request could not be parsed
            return
        now = asyncio.get_running_loop().time()
        response.headers["x-request-id"] = state.id
        response.headers["openai-processing-ms"] = str(round((now - state.arrived) * 1000))
        if request.path == _CHAT:
            limits = state.limits
            response.headers.update(self._engine.quota.headers(now) if limits is None else limits)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        state = request[_STATE]
        engine = self._engine
        chat = read_request(await request.read())
        state.identity = engine.identify(chat)
        try:
            call = engine.admit(chat, state.identity, state.arrived)
        finally:
            state.limits = engine.quota.headers(state.arrived)
        state.call = call
        created = int(state.started)
        envelope = Envelope(f"chatcmpl-{uuid.uuid4().hex}", chat.model, created)

        def end(ending: Ending) -> None:
            engine.end(call, ending)

        try:
            return await deliver(request, call, envelope, arrived=state.arrived, end=end)
        finally:
            # A call without an ending was cancelled by its client or by the server's shutdown.
            end("abandoned")

    async def _models(self, _request: web.Request) -> web.StreamResponse:
        cards = [model_card(name) for name in self._engine.options.models]
        return web.json_response({"object": "list", "data": cards})

    async def _model(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in self._engine.options.models:
            raise unknown_model(name)
        return web.json_response(model_card(name))

    async def _stats(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(self._engine.counters.snapshot().model_dump())

    async def _reset(self, request: web.Request) -> web.StreamResponse:
        self._engine.reset(quota=request.query.get("quota") == "true")
        return web.json_response(self._engine.counters.snapshot().model_dump())

    async def _limits(self, request: web.Request) -> web.StreamResponse:
        given = dict(request.query)
        wrong = [f"{name}={text}" for name, text in given.items() if not _is_limit(name, text)]
        if wrong or not given:
            raise ApiError(400, f"{', '.join(wrong) or 'none'}: {_EXPECTED}")
        self._engine.quota.change({_LIMITS[name]: int(text) for name, text in given.items()})
        return web.json_response(given)

    async def _health(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"status": "ok"})

    def _log(self, state: _RequestState, status: int) -> None:
        identity, call = state.identity, state.call
        try:
            self._request_log.write(
                request_id=state.id,
                prompt=identity and identity.prompt,
                step=identity and identity.step,
                roadmap=identity and identity.roadmap,
                concept=identity and identity.concept,
                status=status,
                drawn=call and call.seconds,
                tokens=call and call.tokens,
                in_flight=call and call.in_flight,
                fault=call and call.fault,
                started=state.started,
            )
        except OSError as error:  # a full disk must not fail the client's call
            _logger.warning("the request log cannot be written: %s", error)


def _is_limit(name: str, text: str) -> bool:
    return name in _LIMITS and text.isascii() and text.isdigit() and int(text[:12]) > 0
