"""Following runs of a ``paceline serve`` server over HTTP."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, Field, ValidationError

from paceline.client.totals import Totals
from paceline.contracts.events import Event
from paceline.errors import PacelineError, PartUnavailable, RunNotFound, UsageError
from paceline.process.certificates import check_client_files

#: Seconds that the server may be unreachable before a follower fails.
MAX_OUTAGE = 120.0
#: Seconds that a connected server may be silent; it sends a keep-alive more often.
SILENCE = 45.0
#: Seconds to wait for a connection and for a response.
_TIMEOUT = 15.0
#: Maximum seconds between two attempts to reconnect.
_MAX_PAUSE = 5.0
#: Maximum bytes of a response.
_MAX_BODY = 8 * 2**20

_Query = Mapping[str, str | int | Sequence[str]]


class RemoteRun(BaseModel):
    """The fields of a run that a follower needs."""

    run_id: Annotated[str, Field(max_length=200)]
    title: Annotated[str, Field(max_length=500)]
    total: Annotated[int, Field(ge=0)]


class _Page(BaseModel):
    runs: list[RemoteRun]


class _Sample(BaseModel):
    roadmaps: int
    concepts: int
    calls: int
    connections: int
    connections_max: int
    events_per_second: float


class _Live(BaseModel):
    now: _Sample


class _Problem(BaseModel):
    detail: Annotated[str, Field(max_length=2000)]


@dataclass(frozen=True, slots=True)
class Server:
    """A ``paceline serve`` server at the address ``url``."""

    url: str
    client: httpx2.AsyncClient

    async def unfinished(self, *, limit: int) -> Sequence[RemoteRun]:
        """The newest unfinished runs that the token may see, at most ``limit``."""
        parameters: _Query = {"status": ["queued", "running"], "limit": limit}
        return _Page.model_validate_json(await self._get("/api/runs", parameters)).runs

    async def find(self, name: str) -> RemoteRun:
        """The run with this id, or the newest run of the roadmap with this id.

        Raises:
            RunNotFound: neither exists.
        """
        with suppress(RunNotFound):
            return RemoteRun.model_validate_json(await self._get(f"/api/runs/{_quoted(name)}"))
        page = await self._get("/api/runs", {"roadmap_id": name, "limit": 1})
        found = _Page.model_validate_json(page).runs
        if not found:
            raise RunNotFound(f"{self.url} has no run and no roadmap with the id {name!r}")
        return found[0]

    async def totals(self) -> Totals:
        """The figures of all workers of the server.

        Raises:
            PartUnavailable: the server cannot be reached.
        """
        now = _Live.model_validate_json(await self._get("/api/live")).now
        return Totals(
            roadmaps_active=now.roadmaps,
            concepts=now.concepts,
            calls=now.calls,
            connections=now.connections,
            connections_max=now.connections_max,
            events_per_second=now.events_per_second,
        )

    async def follow(self, run_id: str, *, after: str | None = None) -> AsyncIterator[Event]:
        """Events of a run until its last one; after a lost connection it resumes the stream.

        ``after`` is the position of the last event that was seen; if it is ``None``, the first
        event is a snapshot.

        Raises:
            RunNotFound: the run does not exist.
            UsageError: the server rejects the request.
            PartUnavailable: the server cannot be reached, at the start or for two minutes.
        """
        loop = asyncio.get_running_loop()
        last_event, pause, connected = loop.time(), 0.25, False
        while True:
            try:
                async for event in self._events(run_id, after):
                    last_event, pause, connected = loop.time(), 0.25, True
                    if event is None:
                        return  # the run has ended, and its last event was seen
                    if event.offset:
                        after = event.position
                    yield event
                    if event.terminal:
                        return
            except PartUnavailable:
                if not connected or loop.time() - last_event > MAX_OUTAGE:
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(_MAX_PAUSE, pause * 2)

    async def _events(self, run_id: str, after: str | None) -> AsyncIterator[Event | None]:
        """Events of one connection; ``None`` if the end was seen already."""
        headers = {} if after is None else {"Last-Event-ID": after}
        timeout = httpx2.Timeout(_TIMEOUT, read=SILENCE)
        path = f"/api/runs/{_quoted(run_id)}/events"
        try:
            async with self.client.stream(
                "GET", path, headers=headers, timeout=timeout
            ) as response:
                if response.status_code == 204:
                    yield None
                    return
                if response.status_code != 200:
                    raise self._error(response.status_code, await _bounded(response))
                async for message in httpx2.EventSource(response):
                    yield Event.model_validate_json(message.data)
        except ValidationError:
            raise PartUnavailable(f"{self.url} sent an invalid event") from None
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from None

    async def _get(self, path: str, parameters: _Query | None = None) -> bytes:
        try:
            async with self.client.stream("GET", path, params=parameters) as response:
                body = await _bounded(response)
                if response.status_code != 200:
                    raise self._error(response.status_code, body)
                return body
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from None

    def _error(self, status: int, body: bytes) -> PacelineError:
        try:
            detail = _Problem.model_validate_json(body).detail
        except ValidationError:
            detail = f"HTTP {status}"
        text = f"{self.url}: {detail}"
        if status == 404:
            return RunNotFound(text)
        if status == 401:
            return UsageError(f"{text} Set it in the environment as PACELINE_TOKEN.")
        return UsageError(text) if status < 429 else PartUnavailable(text)

    def _unreachable(self, error: httpx2.HTTPError) -> PartUnavailable:
        reason = str(error).partition("\n")[0] or type(error).__name__
        return PartUnavailable(f"{self.url} cannot be reached: {reason}")


@asynccontextmanager
async def open_server(url: str, token: str | None) -> AsyncGenerator[Server]:
    """Open connections to a server, for example ``http://127.0.0.1:8080``; close them at the end.

    Raises:
        UsageError: the URL is wrong.
        SettingsError: a certificate that the environment names cannot be used.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--url must be http://HOST:PORT, got {url!r}")
    check_client_files()
    url = url.rstrip("/")
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    limits = httpx2.Limits(max_connections=None)  # each followed run needs one
    async with httpx2.AsyncClient(
        base_url=url, headers=headers, timeout=_TIMEOUT, limits=limits
    ) as client:
        yield Server(url, client)


def _quoted(text: str) -> str:
    return quote(text, safe="")


async def _bounded(response: httpx2.Response) -> bytes:
    """The body of a response, up to ``_MAX_BODY``."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_BODY:
            raise PartUnavailable(f"the server's response is larger than {_MAX_BODY} bytes")
    return bytes(body)
