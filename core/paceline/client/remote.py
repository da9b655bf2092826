"""Following runs on a server of ``paceline serve``, over HTTP."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from paceline.client.totals import Totals
from paceline.contracts.events import Event
from paceline.errors import PacelineError, PartUnavailable, RunNotFound, UsageError

#: Seconds that the server may be away before a follower gives up.
AWAY = 120.0
#: Seconds that a connected server may be silent: it gives a sign of life in less.
SILENCE = 45.0
#: Seconds to wait for a connection and for an answer.
_TIMEOUT = 15.0
_LONGEST_PAUSE = 5.0
_MOST = 8 * 2**20

_Query = Mapping[str, str | int | Sequence[str]]


class RemoteRun(BaseModel):
    """A run of the server, as far as a follower needs it."""

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


_problem = TypeAdapter(_Problem)


@dataclass(frozen=True, slots=True)
class Server:
    """A server of ``paceline serve``.

    Attributes:
        url: its address.
        client: the connections to it.
    """

    url: str
    client: httpx2.AsyncClient

    async def unfinished(self, *, most: int) -> Sequence[RemoteRun]:
        """The newest unfinished runs that the token may see."""
        parameters: _Query = {"status": ["queued", "running"], "limit": most}
        return _Page.model_validate_json(await self._get("/api/runs", parameters)).runs

    async def find(self, given: str) -> RemoteRun:
        """The run of that id, or the newest run of the roadmap of that id.

        Raises:
            RunNotFound: there is neither.
        """
        with suppress(RunNotFound):
            return RemoteRun.model_validate_json(await self._get(f"/api/runs/{_quoted(given)}"))
        page = await self._get("/api/runs", {"roadmap_id": given, "limit": 1})
        found = _Page.model_validate_json(page).runs
        if not found:
            raise RunNotFound(f"{self.url} has no run and no roadmap of the id {given!r}")
        return found[0]

    async def totals(self) -> Totals:
        """Both layers over all workers of the server.

        Raises:
            PartUnavailable: the server is away.
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
        """Events of a run until its last one; goes on where it was when the server returns.

        Args:
            run_id: the run.
            after: position of the last event seen; else a snapshot comes first.

        Raises:
            RunNotFound: there is no such run.
            UsageError: the server refuses.
            PartUnavailable: the server is away, or was for two minutes.
        """
        loop = asyncio.get_running_loop()
        heard_at, pause, begun = loop.time(), 0.25, False
        while True:
            try:
                async for event in self._events(run_id, after):
                    heard_at, pause, begun = loop.time(), 0.25, True
                    if event is None:
                        return  # it ended, and we have seen it
                    if event.offset:
                        after = event.position
                    yield event
                    if event.terminal:
                        return
            except PartUnavailable:
                if not begun or loop.time() - heard_at > AWAY:
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(_LONGEST_PAUSE, pause * 2)

    async def _events(self, run_id: str, after: str | None) -> AsyncIterator[Event | None]:
        """Events of one connection; ``None`` where the end was seen already."""
        headers = {} if after is None else {"Last-Event-ID": after}
        timeout = httpx2.Timeout(_TIMEOUT, read=SILENCE)
        path = f"/api/runs/{_quoted(run_id)}/events"
        try:
            async with self.client.stream("GET", path, headers=headers, timeout=timeout) as answer:
                if answer.status_code == 204:
                    yield None
                    return
                if answer.status_code != 200:
                    raise self._refusal(answer.status_code, await _bounded(answer))
                async for message in httpx2.EventSource(answer):
                    yield Event.model_validate_json(message.data)
        except ValidationError:
            raise PartUnavailable(f"{self.url} sends what is no event") from None
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from None

    async def _get(self, path: str, parameters: _Query | None = None) -> bytes:
        try:
            async with self.client.stream("GET", path, params=parameters) as answer:
                body = await _bounded(answer)
                if answer.status_code != 200:
                    raise self._refusal(answer.status_code, body)
                return body
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from None

    def _refusal(self, status: int, body: bytes) -> PacelineError:
        try:
            detail = _problem.validate_json(body).detail
        except ValidationError:
            detail = f"HTTP {status}"
        told = f"{self.url}: {detail}"
        if status == 404:
            return RunNotFound(told)
        if status == 401:
            return UsageError(f"{told} Put it into the environment, as PACELINE_TOKEN.")
        return UsageError(told) if status < 429 else PartUnavailable(told)

    def _unreachable(self, error: httpx2.HTTPError) -> PartUnavailable:
        reason = str(error).partition("\n")[0] or type(error).__name__
        return PartUnavailable(f"{self.url} cannot be reached: {reason}")


@asynccontextmanager
async def open_server(url: str, token: str | None) -> AsyncGenerator[Server]:
    """Connections to a server, closed in the end.

    Args:
        url: its address, as ``http://127.0.0.1:8080``.
        token: its bearer token, if it wants one.

    Raises:
        UsageError: this is no address.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--url {url!r}: write it as http://host:port")
    url = url.rstrip("/")
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    limits = httpx2.Limits(max_connections=None)  # each run that is followed takes one
    async with httpx2.AsyncClient(
        base_url=url, headers=headers, timeout=_TIMEOUT, limits=limits
    ) as client:
        yield Server(url, client)


def _quoted(text: str) -> str:
    return quote(text, safe="")


async def _bounded(answer: httpx2.Response) -> bytes:
    """An answer's body, as long as one of ours may be."""
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > _MOST:
            raise PartUnavailable("the server's answer is longer than any of ours")
    return bytes(body)
