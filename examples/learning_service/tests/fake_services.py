"""A search API and an LLM that count what reaches them, on a thread of their own.

Run as ``python fake_services.py PORT`` to have the search API on a port.
"""

import asyncio
import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Json = dict[str, Any]


class Service:
    """An HTTP service.

    Attributes:
        base_url: its address while it runs.
        port: the port to listen on; 0 picks a free one.
    """

    base_url = ""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()

    def routes(self) -> list[web.RouteDef]:
        """What it serves."""
        raise NotImplementedError

    def hold(self) -> None:
        """Answer no request until ``release``."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def release(self) -> None:
        """Answer again, the requests that were held included."""
        self._loop.call_soon_threadsafe(self._open.set)

    async def passes(self, seconds: float) -> None:
        """Let the time of an answer pass, and wait while the service is held."""
        await asyncio.sleep(seconds)
        await self._open.wait()

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        """Serve until ``stop``."""
        app = web.Application()
        app.add_routes(self.routes())
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it."""
        ready, stop = threading.Event(), asyncio.Event()

        def work() -> None:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self.serve(ready, stop))

        thread = threading.Thread(target=work)
        thread.start()
        assert ready.wait(20)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(stop.set)
            thread.join(20)


@dataclass(slots=True)
class Request:
    """One request.

    Attributes:
        key: what was asked; equal requests have equal keys.
        at: when it arrived.
        answered_at: when it was answered.
    """

    key: str
    at: float
    answered_at: float | None = None

    @property
    def answered(self) -> bool:
        """Whether it was answered."""
        return self.answered_at is not None


class Log:
    """The requests that a service received."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def begin(self, key: str) -> Request:
        """Note the arrival of a request."""
        request = Request(key, time.monotonic())
        self.requests.append(request)
        return request

    @property
    def last(self) -> float:
        """When the last request arrived or was answered."""
        return max((one.answered_at or one.at for one in self.requests), default=0.0)

    def in_flight(self) -> list[str]:
        """Keys of the requests without an answer."""
        return [one.key for one in self.requests if not one.answered]

    def repeated(self) -> Counter[str]:
        """How often each request was sent again."""
        return Counter(one.key for one in self.requests) - Counter({r.key for r in self.requests})

    def most_in_a_minute(self, minute: float = 60.0) -> int:
        """The largest number of requests in any minute."""
        times = sorted(one.at for one in self.requests)
        return max(
            (sum(start <= one < start + minute for one in times) for start in times), default=0
        )


class FakeSearch(Service):
    """A search API with a quota; its results are pages of its own.

    Args:
        per_minute: requests in any minute; the next one gets 429 with ``Retry-After``.
        seconds: time of an answer.
    """

    def __init__(self, per_minute: int = 6000, seconds: float = 0.01) -> None:
        super().__init__()
        self.per_minute, self.seconds = per_minute, seconds
        self.log = Log()
        self.refused = 0
        #: Queries to refuse once, although the quota is not used up.
        self.refuse_next = 0

    def routes(self) -> list[web.RouteDef]:
        """The search, and the pages that it finds."""
        return [web.get("/search", self._search), web.get("/page/{name}", self._page)]

    async def _search(self, request: web.Request) -> web.Response:
        now = time.monotonic()
        recent = [one.at for one in self.log.requests if one.at > now - 60]
        if self.refuse_next or len(recent) >= self.per_minute:
            pause = 0.2 if self.refuse_next else recent[0] + 60 - now
            self.refuse_next = max(0, self.refuse_next - 1)
            self.refused += 1
            return web.Response(status=429, headers={"Retry-After": f"{pause:.1f}"})
        query = request.query["q"]
        logged = self.log.begin(query)
        await self.passes(self.seconds)
        logged.answered_at = time.monotonic()
        slug = re.sub(r"\W+", "-", query)
        results = [
            {
                "title": f"{query}, part {number}",
                "url": f"{self.base_url}/page/{slug}-{number}",
                "snippet": f"What {query} is about.",
            }
            for number in (1, 2)
        ]
        return web.json_response({"results": results})

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(status=404 if "dead" in request.match_info["name"] else 200)


@dataclass
class Used:
    """What a model was paid for."""

    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class FakeLlm(Service):
    """A model with tools.

    Args:
        rounds: rounds in which it searches before it knows enough.
        seconds: time of an answer.
        truncates: the first answer to each prompt ends in the middle.
        needs_repair: the first answer to each prompt lacks a field.
    """

    def __init__(
        self,
        rounds: int = 3,
        seconds: float = 0.01,
        *,
        truncates: bool = False,
        needs_repair: bool = False,
    ) -> None:
        super().__init__()
        self.rounds, self.seconds = rounds, seconds
        self.truncates, self.needs_repair = truncates, needs_repair
        self.log = Log()
        self.bodies: list[Json] = []
        self.used: dict[str, Used] = {}
        self.most_at_once = 0
        #: Addresses that are put into the first answer of each prompt.
        self.dead_links: list[str] = []
        self._asked: Counter[str] = Counter()

    def routes(self) -> list[web.RouteDef]:
        """Chat completions."""
        return [web.post("/v1/chat/completions", self._complete)]

    async def _complete(self, request: web.Request) -> web.Response:
        body: Json = await request.json()
        messages: list[Json] = body["messages"]
        logged = self.log.begin(json.dumps([messages, body.get("tools"), step_of(body)]))
        self.bodies.append(body)
        self.most_at_once = max(self.most_at_once, len(self.log.in_flight()))
        await self.passes(self.seconds)
        logged.answered_at = time.monotonic()
        message, finish = self._answer(body, messages)
        # An answer that is cut off used up the whole bound.
        bound = int(body.get("max_completion_tokens") or body["max_tokens"])
        usage = {
            "prompt_tokens": len(json.dumps(messages)) // 4,
            "completion_tokens": bound if finish == "length" else len(json.dumps(message)) // 4,
        }
        used = self.used.setdefault(body["model"], Used())
        used.attempts += 1
        used.prompt_tokens += usage["prompt_tokens"]
        used.completion_tokens += usage["completion_tokens"]
        return web.json_response(
            {
                "id": f"chatcmpl-{len(self.bodies)}",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": finish}],
                "usage": {**usage, "total_tokens": sum(usage.values())},
            }
        )

    def _answer(self, body: Json, messages: list[Json]) -> tuple[Json, str]:
        prompt = next(str(one["content"]) for one in messages if one["role"] == "user")
        found = re.search(r"Concept: .* \((\S+)\)", prompt)
        concept = found[1] if found else "?"
        if body.get("tools"):
            round_number = sum(one["role"] == "tool" for one in messages) + 1
            if round_number > self.rounds:
                return {"role": "assistant", "content": "That is enough."}, "stop"
            purpose = "basics" if "explain" in prompt else "more"
            tool: Json = body["tools"][0]["function"]
            [argument, *_] = tool["parameters"]["properties"]
            arguments = json.dumps({argument: f"{concept} {purpose} {round_number}"})
            call = {
                "id": f"call-{round_number}",
                "type": "function",
                "function": {"name": tool["name"], "arguments": arguments},
            }
            return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
        step = step_of(body)
        key = f"{step} {concept}"
        self._asked[key] += 1
        first = self._asked[key] == 1
        answer = self._content(step, concept, re.findall(r"<(https?://\S+)>", prompt), first)
        if first and self.needs_repair:
            answer.popitem()
        text = json.dumps(answer)
        if first and self.truncates:
            return {"role": "assistant", "content": text[: len(text) // 2]}, "length"
        return {"role": "assistant", "content": text}, "stop"

    def _content(self, step: str, concept: str, urls: list[str], first: bool) -> Json:
        match step:
            case "tutorial":
                section = {"title": "Idea", "content": f"{concept} explained with care."}
                return {
                    "title": f"All about {concept}",
                    "summary": "The idea and its use.",
                    "sections": [section],
                }
            case "resources":
                chosen = (self.dead_links if first else []) or urls or ["https://example.org/"]
                return {
                    "resources": [
                        {"title": f"Page {n}", "url": url, "why": "It shows more."}
                        for n, url in enumerate(dict.fromkeys(chosen[:5]), 1)
                    ]
                }
            case _:
                question = {
                    "question": f"What is {concept}?",
                    "options": ["An idea", "A fruit"],
                    "answer": 0,
                    "explanation": "The tutorial says so.",
                }
                return {"questions": [question]}


def step_of(body: Mapping[str, Any]) -> str:
    """The step that asks for an answer; empty if the request has no schema."""
    schema: Json = (body.get("response_format") or {}).get("json_schema") or {}
    return str(schema.get("name", ""))


@dataclass(slots=True)
class Services:
    """The LLM and the search API, with the environment that leads paceline there."""

    llm: FakeLlm
    search: FakeSearch
    more: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for the processes of paceline."""
        search_url = f"{self.search.base_url}/search"
        return {
            "PACELINE_PROVIDER__API_KEY": "sk-test",
            "PACELINE_PROVIDER__BASE_URL": f"{self.llm.base_url}/v1",
            "PACELINE_STEPS__TUTORIAL__SEARCH_URL": search_url,
            "PACELINE_STEPS__RESOURCES__SEARCH_URL": search_url,
            "PACELINE_CHECKS__LINKS__PRIVATE": "true",
            # Requests are spread over the minute: 100 of them would make a test wait.
            "PACELINE_RESOURCES__SEARCH__REQUESTS_PER_MINUTE": str(self.search.per_minute),
            **self.more,
        }


@contextmanager
def serving(llm: FakeLlm | None = None, search: FakeSearch | None = None) -> Iterator[Services]:
    """Run an LLM and a search API."""
    services = Services(llm or FakeLlm(), search or FakeSearch())
    with services.llm.running(), services.search.running():
        yield services


if __name__ == "__main__":
    api = FakeSearch(per_minute=100)
    api.port = int(sys.argv[1])
    with api.running():
        threading.Event().wait()
