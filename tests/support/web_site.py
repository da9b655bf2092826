"""A real web server on a real socket in the test's process, with its store and bus."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from paceline import App, Roadmap
from paceline.contracts.storage.records import Claim, ConceptState, Run, RunStatus
from paceline.contracts.storage.spending import Charge, Spent
from paceline.contracts.telemetry import Gauges
from paceline.generation.event_publisher import EventPublisher
from paceline.generation.progress import Progress
from paceline.settings.model import Settings, WebSettings
from paceline_adapters.web import Backend, create_app
from paceline_adapters.web.request_checks import TenantOf
from paceline_adapters.web.server import Server, config_of, listen

WRITER, READER = "writes-0123456789", "reads-0123456789ab"


@dataclass(frozen=True, slots=True)
class Site:
    """A server with its parts.

    Attributes:
        url: its address.
        backend: its parts.
        client: an HTTP client of it.
    """

    url: str
    backend: Backend
    client: httpx2.AsyncClient

    @property
    def ws(self) -> str:
        """Its address for sockets."""
        return self.url.replace("http", "ws", 1)

    async def submitted(self, roadmap: Roadmap) -> str:
        """Submit a roadmap over HTTP; the run's id."""
        answer = await self.client.post("/api/runs", content=roadmap.to_json())
        assert answer.status_code == 201, answer.text
        return str(answer.json()["run"]["run_id"])


@asynccontextmanager
async def site(
    folder: Path,
    *,
    web: WebSettings | None = None,
    work: bool = False,
    token: str | None = None,
    store: str | None = None,
    tenant: TenantOf | None = None,
    **settings: Any,
) -> AsyncGenerator[Site]:
    """A server over SQLite in a folder; ``work`` lets it work on runs.

    ``tenant`` is the login of a host application.
    """
    url = store or f"sqlite:///{folder}/paceline.db"
    chosen = Settings.model_validate(
        {
            "store": {"url": url},
            "web": web or WebSettings(),
            "provider": {"base_url": "http://127.0.0.1:9/v1", "api_key": "none"},
            **settings,
        }
    )
    async with Backend(App(chosen), work=work) as backend:
        with listen(chosen.web, "127.0.0.1", 0) as listening:
            server = Server(config_of(create_app(backend, tenant=tenant), chosen.web))
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            try:
                async with httpx2.AsyncClient(
                    base_url=address, headers=headers, timeout=60
                ) as client:
                    yield Site(address, backend, client)
            finally:
                await backend.hub.close()
                server.should_exit = True
                await serving


def tokens() -> WebSettings:
    """Settings with a token that may write and a read-only one."""
    return WebSettings.model_validate(
        {"tokens": [{"token": WRITER}, {"token": READER, "scope": "read"}]}
    )


@dataclass(slots=True)
class Working:
    """A claimed run: does what a worker does, one step at a time.

    Attributes:
        backend: where the run stands.
        claim: the right to write it.
        progress: publishes what it does.
        outbox: the way to the bus.
    """

    backend: Backend
    claim: Claim
    progress: Progress
    outbox: EventPublisher

    @classmethod
    async def on(cls, backend: Backend, run_id: str) -> "Working":
        """Claim a run and publish its snapshot."""
        claim = await backend.store.claim(run_id, "a-worker", lease=600)
        assert claim is not None
        run = await backend.store.run(run_id)
        outbox = EventPublisher(backend.bus, Gauges())
        progress = Progress(claim, run.total, outbox, finished=run.finished, failures=run.failed)
        progress.snapshot()
        await outbox.flush()
        return cls(backend, claim, progress, outbox)

    async def begin(self, concept_id: str) -> None:
        """Start a concept."""
        self.progress.generating(concept_id)
        await self.outbox.flush()

    async def complete(self, concept_id: str) -> None:
        """Complete a concept: save it, then publish it."""
        state = ConceptState(concept_id=concept_id, status="completed")
        await self.backend.store.save_concept(self.claim, state)
        self.progress.saved(concept_id, "quiz", completed=True)
        await self.outbox.flush()

    async def fail(self, concept_id: str, reason: str = "no") -> None:
        """Let a concept fail for good."""
        state = ConceptState(concept_id=concept_id, status="failed", reason=reason)
        charge = Charge(concept_id=concept_id, step="tutorial", spent=Spent(attempts=4))
        await self.backend.store.save_concept(self.claim, state, charge=charge)
        self.progress.failed(concept_id, reason)
        await self.outbox.flush()

    async def end(self) -> Run:
        """End the run: save its status, then publish it."""
        status: RunStatus = "partial" if self.progress.failures else "completed"
        await self.backend.store.finish(self.claim, status, None)
        self.progress.ended(status, None)
        await self.outbox.flush()
        return await self.backend.store.run(self.claim.run_id)
