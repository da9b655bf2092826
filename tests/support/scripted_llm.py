"""An HTTP server that answers as a test scripts it and records its requests."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from paceline.contracts.provider import CompletionRequest, Message
from paceline.settings.model import ProviderSettings
from paceline_adapters.openai.provider import OpenAIProvider

KEY = "sk-test-0123456789abcdef"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"word": {"type": "string"}, "marks": {"type": "integer", "minimum": 1}},
    "required": ["word", "marks"],
}
ANSWER = '{"word": "yes", "marks": 3}'


def asking(schema: Mapping[str, object] | None = SCHEMA, step: str = "quiz") -> CompletionRequest:
    """A small request."""
    messages = (Message("system", "Be brief."), Message("user", "Say yes."))
    return CompletionRequest(messages=messages, step=step, schema=schema, max_tokens=77)


def completion(content: object = ANSWER, **changes: object) -> dict[str, object]:
    """The body of an answer; `changes` apply to its choice or to its message."""
    message: dict[str, object] = {"role": "assistant", "content": content}
    choice: dict[str, object] = {"index": 0, "message": message, "finish_reason": "stop"}
    for name, value in changes.items():
        (choice if name == "finish_reason" else message)[name] = value
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "test-model-2026",
        "choices": [choice],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }


def reply(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Handler:
    """A handler that always sends this answer; text and bytes are sent unchanged."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        if isinstance(body, bytes):
            return web.Response(body=body, status=status, headers=headers)
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(text=text, status=status, headers=headers)

    return answer


def fault(status: int, message: str = "no", **more: object) -> Handler:
    """A handler that answers with an error in OpenAI's format."""
    headers = more.pop("headers", None)
    assert headers is None or isinstance(headers, dict)
    return reply({"error": {"message": message, **more}}, status, headers)


@dataclass
class Scripted:
    """A running server.

    Attributes:
        script: handlers, one per request; the last one stays.
        bodies: decoded bodies of the requests.
        headers: their headers.
    """

    script: list[Handler]
    base_url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    headers: list[Mapping[str, str]] = field(default_factory=list[Mapping[str, str]])

    def provider(
        self, *, extra: dict[str, object] | None = None, **changes: object
    ) -> OpenAIProvider:
        """A provider that uses this server."""
        given = {"base_url": self.base_url, "api_key": KEY, "model": "test-model", **changes}
        return OpenAIProvider(ProviderSettings.model_validate(given), body=extra)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Record the request and run the next handler."""
        self.headers.append(request.headers)
        if request.method == "POST":
            self.bodies.append(await request.json())
        handler = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return await handler(request)


@asynccontextmanager
async def serving(*script: Handler) -> AsyncGenerator[Scripted, None]:
    """Run a server that follows the script."""
    server = Scripted(list(script))
    app = web.Application()
    app.router.add_route("*", "/v1/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.05)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def asked(
    *script: Handler, **changes: object
) -> AsyncGenerator[tuple[OpenAIProvider, Scripted], None]:
    """A provider and the scripted server that it uses."""
    async with serving(*script) as server:
        provider = server.provider(**changes)  # type: ignore[arg-type]
        try:
            yield provider, server
        finally:
            await provider.close()
