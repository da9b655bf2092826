"""Runs a roadmap against a server that misbehaves: real HTTP, the real App, a store in memory."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from paceline import App, Roadmap, parse_roadmap
from paceline.contracts.storage.records import ConceptState
from paceline.settings.model import Settings
from paceline_adapters.memory.store import MemoryStore

KEY = "sk-test-key-1"
Handle = Callable[["Ask"], Awaitable[web.StreamResponse]]

#: Short pauses and a short patience: outages of a second stand for outages of minutes.
QUICK: dict[str, object] = {"backoff": 0.02, "max_backoff": 0.2, "patience": 1.5, "timeout": 10.0}


@dataclass
class Counts:
    """What a server has counted."""

    requests: int = 0
    billed: int = 0
    billed_tokens: int = 0
    started: float = field(default_factory=time.monotonic)
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    by_call: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])


class Ask:
    """One request, and what was asked before it."""

    def __init__(
        self, body: dict[str, Any], counts: Counts, transport: asyncio.Transport | None
    ) -> None:
        self.body, self.counts, self.transport = body, counts, transport
        self.messages: list[dict[str, str]] = body["messages"]
        self.users = "\n".join(one["content"] for one in self.messages if one["role"] == "user")
        self.step = self._line("Step: ")
        self.concept = self._line("Concept id: ")
        self.max: int = body.get("max_tokens") or body.get("max_completion_tokens") or 0
        self.format = str(body["response_format"]["type"]) if "response_format" in body else ""
        counts.by_call[self.concept, self.step] += 1
        #: Number of the request among those of its concept and step, from 1.
        self.nth = counts.by_call[self.concept, self.step]
        #: Number of the request among all, from 1.
        self.count = counts.requests
        self.seconds = time.monotonic() - counts.started

    def _line(self, start: str) -> str:
        lines = (line for line in self.users.splitlines() if line.startswith(start))
        return next(lines, start).removeprefix(start)


@dataclass(frozen=True)
class Result:
    """How a run ended, and what it cost."""

    status: str
    reason: str
    concepts: Sequence[ConceptState]
    artifacts: Sequence[str]
    tokens: int
    counts: Counts

    @property
    def why(self) -> str:
        """All reasons of the run and its concepts."""
        return " | ".join([self.reason, *{one.reason for one in self.concepts if one.reason}])


def a_roadmap(concepts: int, names: Sequence[str] = ()) -> Roadmap:
    """A roadmap of that many concepts; the first ones have the names."""
    titles = [*names, *(f"Topic number {n}" for n in range(len(names), concepts))]
    members = [{"concept_id": f"c{n}", "name": name} for n, name in enumerate(titles)]
    module = {"module_id": "m", "name": "M", "concepts": members}
    stage = {"stage_id": "s", "name": "S", "modules": [module]}
    return parse_roadmap({"roadmap_id": "r", "title": "R", "stages": [stage]}, source="r")


async def run_against(
    handle: Handle, roadmap: Roadmap, *, strategy: str = "per-roadmap", **provider: object
) -> Result:
    """Generate a roadmap against a server that answers as ``handle`` does."""
    counts = Counts()

    async def answer(request: web.Request) -> web.StreamResponse:
        if not counts.requests:
            counts.started = time.monotonic()
        counts.requests += 1
        body = await request.json()
        counts.bodies.append(body)
        return await handle(Ask(body, counts, request.transport))

    server = web.Application(client_max_size=2**24)
    server.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(server, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    given = {"base_url": url, "api_key": KEY, "model": "fake", **QUICK, **provider}
    settings = Settings.model_validate({"provider": given, "strategy": [strategy]})
    store = MemoryStore()
    try:
        async with App(settings, store=store).worker() as worker:
            run, _ = await store.create_run(roadmap, executor="in-process")
            await asyncio.wait_for(worker.run(run.run_id), 60)
        ended = await store.run(run.run_id)
        artifacts = await store.artifacts(run.run_id)
        return Result(
            status=ended.status,
            reason=ended.reason or "",
            concepts=await store.concepts(run.run_id),
            artifacts=[one.content for one in artifacts],
            tokens=sum(one.prompt_tokens + one.completion_tokens for one in artifacts),
            counts=counts,
        )
    finally:
        await runner.cleanup()
