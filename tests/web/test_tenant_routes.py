"""Every route and socket with two tenants; a login or a token names the tenant.

A new route must be in one of the tables below, or name a run in its path.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.routing import iter_route_contexts
from paceline import Run, Share
from paceline.contracts.identity import this_process
from paceline.contracts.storage.records import Figures, WorkerRecord
from paceline.settings.model import WebSettings
from paceline.testing.virtual_time import real_time
from paceline_adapters.web import create_app
from starlette.requests import HTTPConnection
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.cli_terminal import a_roadmap, a_run
from tests.support.web_site import Site, Working, site

#: Routes that need no caller.
OPEN = {"GET /health", "GET /ready", "GET /", "GET /openapi.json", "MOUNT /page"}
#: Refused to everybody, with 405: no run is looked at.
REFUSED = {"GET /api/runs/{run_id}/concepts/{concept_id:path}/artifacts/{step}/restore"}
#: Routes of callers that name no run: what they tell is checked.
OF_ALL = {
    "GET /api/budgets",
    "GET /api/controls",
    "GET /api/controls/log",
    "GET /api/costs",
    "GET /api/live",
    "GET /api/runs",
    "GET /api/session",
    "GET /api/sinks",
    "GET /api/limits",
    "GET /api/strategy",
    "GET /api/workers",
    "POST /api/runs",
    "POST /api/tickets",
    "WS /ws/runs",
}
#: Routes for operators, which a login that decides the tenant does not reach.
OF_OPERATORS = {"GET /metrics"}
#: Refused to tenants unless they name themselves: tests/web/test_controls.py.
CONTROLS = {
    f"POST /api/controls/{name}" for name in ("drain", "limits", "limits/reset", "pause", "resume")
}

PLACES = {"concept_id:path": "c0", "concept_id": "c0", "step": "tutorial"}
#: What a route needs besides its path.
QUERIES = {"/restore": "?version=1"}
BODIES = {"/revisions": {"step": "quiz"}}
TOKENS = {"acme": "acme-0123456789ab", "rival": "rival-0123456789a"}
TITLE, TROUBLE, KEY = "Acme's secret plan", "Acme's account has no credit", "order-of-acme"


def login(connection: HTTPConnection) -> str:
    """The tenant that a host's login decides."""
    tenant = connection.headers.get("x-tenant")
    if tenant is None:
        raise HTTPException(401, "Log in first")
    return tenant


def headers_of(mode: str, tenant: str) -> dict[str, str]:
    """What a client of a tenant sends."""
    if mode == "login":
        return {"x-tenant": tenant}
    return {"Authorization": f"Bearer {TOKENS[tenant]}"}


def routes_of(app: FastAPI) -> set[str]:
    """Every route of an application: its method, or its kind, and its path."""
    found: set[str] = set()
    for route in iter_route_contexts(app.routes):
        kind = type(route.original_route).__name__
        methods = {"APIWebSocketRoute": {"WS"}, "Mount": {"MOUNT"}}.get(kind, route.methods)
        found |= {f"{method} {route.path}" for method in methods or ()}
    return found - {f"HEAD {one.partition(' ')[2]}" for one in found}


@dataclass(frozen=True, slots=True)
class Two:
    """One server with a run of acme, as acme and its rival reach it.

    Attributes:
        mode: how the server finds the tenant: by a login or by tokens.
        here: the server.
        run: the run of acme.
        routes: every route of the server.
    """

    mode: str
    here: Site
    run: Run
    routes: set[str]

    @property
    def of_runs(self) -> list[str]:
        """Routes that name a run; that which deletes it is the last."""
        of_runs = [one for one in self.routes - REFUSED if "{run_id}" in one]
        return sorted(of_runs, key=lambda route: (route.startswith("DELETE"), route))

    def path(self, route: str, run_id: str) -> str:
        """The path of a route, with its placeholders filled in."""
        path = route.partition(" ")[2].replace("{run_id}", run_id)
        for name, value in PLACES.items():
            path = path.replace(f"{{{name}}}", value)
        assert "{" not in path, f"PLACES needs a value for a placeholder of {route}"
        return path + next((more for end, more in QUERIES.items() if path.endswith(end)), "")

    async def answer(self, route: str, path: str, tenant: str | None) -> tuple[int, str]:
        """The status and text of a route's answer; of a socket's refusal."""
        method = route.partition(" ")[0]
        headers = {} if tenant is None else headers_of(self.mode, tenant)
        if method != "WS":
            body = next((one for end, one in BODIES.items() if path.endswith(end)), None)
            answer = await self.here.client.request(method, path, headers=headers, json=body)
            return answer.status_code, answer.text
        try:
            async with connect(f"{self.here.ws}{path}", additional_headers=headers):
                return 101, ""
        except InvalidStatus as refused:
            return refused.response.status_code, (refused.response.body or b"").decode()


@asynccontextmanager
async def two_tenants(mode: str, folder: Path) -> AsyncGenerator[Two]:
    """A server with a partial run of acme."""
    tokens = [{"token": token, "tenant": name} for name, token in TOKENS.items()]
    web = WebSettings.model_validate({"rate": 10_000, "tokens": tokens if mode == "tokens" else []})
    tenant = login if mode == "login" else None
    async with site(folder, web=web, tenant=tenant) as here:
        roadmap = a_roadmap("acme-plan", "c0", "c1").model_copy(update={"title": TITLE})
        run = await a_run(here.backend.store, roadmap, "partial", share=Share("acme"))
        yield Two(mode, here, run, routes_of(create_app(here.backend, tenant=tenant)))


both = pytest.mark.parametrize("mode", ["login", "tokens"])


@both
@real_time
async def test_every_route_is_tested(tmp_path: Path, mode: str) -> None:
    async with two_tenants(mode, tmp_path) as it:
        operators = OF_OPERATORS if mode == "tokens" else set[str]()
        assert it.routes == OPEN | OF_ALL | REFUSED | CONTROLS | operators | set(it.of_runs)
        assert len(it.of_runs) > 10


@both
@real_time
async def test_a_run_of_another_tenant_is_as_one_that_does_not_exist(
    tmp_path: Path, mode: str
) -> None:
    async with two_tenants(mode, tmp_path) as it:
        for route in it.of_runs:
            theirs = await it.answer(route, it.path(route, it.run.run_id), "rival")
            unknown = await it.answer(route, it.path(route, "none"), "rival")
            assert theirs[0] == 404, route
            assert "run-not-found" in theirs[1], route
            assert (theirs[0], theirs[1].replace(it.run.run_id, "none")) == unknown, route
        assert await it.here.backend.store.run(it.run.run_id) == it.run, "nothing has changed"
        for route in it.of_runs:
            status, text = await it.answer(route, it.path(route, it.run.run_id), "acme")
            assert status in {101, 200, 204, 409}, (route, status, text)


@both
@real_time
async def test_without_a_caller_only_the_open_routes_answer(tmp_path: Path, mode: str) -> None:
    async with two_tenants(mode, tmp_path) as it:
        for route in it.routes - OPEN:
            status, text = await it.answer(route, it.path(route, it.run.run_id), None)
            assert (status, json.loads(text)["status"]) == (401, 401), route
            assert it.run.run_id not in text
        assert [run.run_id for run in await it.here.backend.store.runs()] == [it.run.run_id]
        for route in sorted(OPEN - {"MOUNT /page"}):
            assert (await it.answer(route, it.path(route, ""), None))[0] == 200, route


@both
@real_time
async def test_what_names_no_run_tells_nothing_of_another_tenant(tmp_path: Path, mode: str) -> None:
    async with two_tenants(mode, tmp_path) as it:
        here, store = it.here, it.here.backend.store
        ours = await a_run(store, a_roadmap("acme-more", "c"), share=Share("acme"))
        theirs = await a_run(store, a_roadmap("rivals", "c"), share=Share("rival"))
        trouble = {ours.run_id: TROUBLE, theirs.run_id: "a rate limit"}
        worker = WorkerRecord(
            worker_id="a-worker",
            identity=this_process(),
            executor="in-process",
            concurrency=8,
            pool_max=1,
        )
        await store.register(worker)
        figures = Figures(runs=(ours.run_id, theirs.run_id), trouble=trouble)
        await store.beat("a-worker", figures, lease=60)
        secrets = [it.run.run_id, ours.run_id, "acme", TITLE, TROUBLE]
        operators = OF_OPERATORS & it.routes
        for route in sorted((OF_ALL | operators) - {"POST /api/runs", "WS /ws/runs"}):
            status, text = await it.answer(route, it.path(route, ""), "rival")
            assert status in {200, 201}, (route, text)
            assert [one for one in secrets if one in text] == [], route
        (shown,) = json.loads((await it.answer("GET", "/api/workers", "rival"))[1])["workers"]
        assert (shown["active"], shown["trouble"]) == (
            [theirs.run_id],
            {theirs.run_id: "a rate limit"},
        )
        page = json.loads((await it.answer("GET", "/api/runs", "rival"))[1])
        assert [run["run_id"] for run in page["runs"]] == [theirs.run_id]
        headers = headers_of(mode, "rival")
        async with connect(
            f"{here.ws}/ws/runs?level=concept", additional_headers=headers
        ) as socket:
            for run in (ours, theirs):
                await (await Working.on(here.backend, run.run_id)).begin("c")
            text = ""
            while f'"{theirs.run_id}"' not in text or "generating" not in text:
                text += str(await socket.recv())
            assert [one for one in secrets if one in text] == []


@both
@real_time
async def test_the_same_roadmap_and_key_of_two_tenants_are_two_runs(
    tmp_path: Path, mode: str
) -> None:
    async with two_tenants(mode, tmp_path) as it:
        body = a_roadmap("r", "c").to_json()
        made: dict[str, Any] = {}
        for tenant in ("acme", "rival", "acme"):
            headers = {**headers_of(mode, tenant), "Idempotency-Key": KEY}
            answer = await it.here.client.post("/api/runs", content=body, headers=headers)
            assert answer.status_code == (200 if tenant in made else 201)
            run = answer.json()["run"]
            assert run["tenant"] == tenant
            assert made.setdefault(tenant, run["run_id"]) == run["run_id"]
        assert made["acme"] != made["rival"]


@both
@real_time
async def test_a_body_cannot_name_another_tenant(tmp_path: Path, mode: str) -> None:
    async with two_tenants(mode, tmp_path) as it:
        roadmap = json.loads(a_roadmap("r", "c").to_json())
        for body in ({"roadmap": roadmap, "tenant": "acme"}, {"roadmap": roadmap, "share": {}}):
            answer = await it.here.client.post(
                "/api/runs", json=body, headers=headers_of(mode, "rival")
            )
            assert answer.status_code == 422
            assert "is not a known field" in answer.json()["detail"]
        # A field of the roadmap is content, and decides nothing.
        answer = await it.here.client.post(
            "/api/runs", json={**roadmap, "tenant": "acme"}, headers=headers_of(mode, "rival")
        )
        assert answer.json()["run"]["tenant"] == "rival"
