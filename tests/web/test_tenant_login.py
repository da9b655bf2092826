"""The login of a host application decides the tenant of each request and socket."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, HTTPException
from paceline import App, RunNotFound, UsageError
from paceline.live.feed import Feed
from paceline.settings.model import Settings
from paceline.testing.virtual_time import real_time
from paceline_adapters.web import Backend, create_app, router
from starlette.requests import HTTPConnection
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.cli_terminal import a_roadmap
from tests.web.test_embed import documented, folder, serving, theirs

__all__ = ["folder"]


async def submitted(client: httpx2.AsyncClient, place: str, **asked: Any) -> str:
    """The run of a roadmap that is submitted under a prefix."""
    answer = await client.post(
        f"http://{place}/api/runs", content=a_roadmap("r", "c").to_json(), **asked
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["run"]["run_id"])


@real_time
async def test_the_documented_login_decides_the_tenant(folder: Path) -> None:
    names = documented(1)
    sessions = names["SESSIONS"]

    async with serving(names["app"]) as place, httpx2.AsyncClient(timeout=60) as client:
        content, operators = f"{place}/content", f"{place}/operators"
        cookies = {tenant: {"cookie": f"session={one}"} for one, tenant in sessions.items()}
        assert len(cookies) == 2
        runs = {
            tenant: await submitted(client, content, headers=sent)
            for tenant, sent in cookies.items()
        }
        for tenant, sent in cookies.items():
            page = await client.get(f"http://{content}/api/runs", headers=sent)
            assert [one["run_id"] for one in page.json()["runs"]] == [runs[tenant]]
            assert page.json()["runs"][0]["tenant"] == tenant
        (own, sent), (other, _) = cookies.items()
        answer = await client.get(f"http://{content}/api/runs/{runs[other]}", headers=sent)
        assert answer.status_code == 404
        url = f"ws://{content}/ws/runs"
        async with connect(url, open_timeout=60, additional_headers=sent) as socket:
            heard = ""
            while runs[own] not in heard:
                heard += str(await socket.recv())
            assert runs[other] not in heard
        assert (await client.get(f"http://{content}/api/runs")).status_code == 401
        with pytest.raises(InvalidStatus) as refused:
            async with connect(url, open_timeout=60):
                pass
        assert refused.value.response.status_code == 401
        assert (await client.get(f"http://{content}/health")).status_code == 200
        assert (await client.get(f"http://{content}/metrics", headers=sent)).status_code == 404

        admin = {"authorization": "Bearer " + names["OPERATOR"]}
        assert (await client.get(f"http://{operators}/metrics")).status_code == 401
        page = await client.get(f"http://{operators}/api/runs", headers=admin)
        assert {one["run_id"] for one in page.json()["runs"]} == set(runs.values())
        metrics = (await client.get(f"http://{operators}/metrics", headers=admin)).text
        counted = (
            'paceline_http_request_seconds_count{method="POST",route="/api/runs",status="201"} 2'
        )
        assert counted in metrics, "requests of all routers of a backend are counted together"


async def by_coroutine(connection: HTTPConnection) -> str:
    return connection.headers["x-tenant"]


def of_user(user: Annotated[str, Depends(by_coroutine)]) -> str:
    return f"tenant of {user}"


@pytest.mark.parametrize(("tenant", "name"), [(by_coroutine, "me"), (of_user, "tenant of me")])
@real_time
async def test_a_tenant_may_come_from_any_dependency(
    folder: Path, tenant: Callable[..., Any], name: str
) -> None:
    backend, app = theirs(folder)
    app.include_router(router(backend, tenant=tenant))

    async with serving(app) as place, httpx2.AsyncClient(timeout=60) as client:
        me = {"x-tenant": "me"}
        await submitted(client, place, headers=me)
        session = (await client.get(f"http://{place}/api/session", headers=me)).json()
        assert (session["tenant"], session["scope"]) == (name, "write")
        (run,) = await backend.client.for_tenant(name).runs()
        assert run.share.tenant == name


@pytest.mark.parametrize("returned", [None, "", " me", 7, b"me", "x" * 101])
@real_time
async def test_a_login_that_returns_no_tenant_lets_nothing_through(
    folder: Path, caplog: pytest.LogCaptureFixture, returned: Any
) -> None:
    backend, app = theirs(folder)

    def nothing() -> Any:
        return returned

    app.include_router(router(backend, tenant=nothing))

    async with serving(app) as place, httpx2.AsyncClient(timeout=60) as client:
        with caplog.at_level(logging.ERROR):
            answer = await client.get(f"http://{place}/api/runs")
            assert answer.status_code == 500
            assert "tenant" not in answer.text
            with pytest.raises(InvalidStatus):
                async with connect(f"ws://{place}/ws/runs", open_timeout=60):
                    pass
        assert "the dependency of router(tenant=…) returned no tenant" in caplog.text
        assert "1 to 100 printable characters" in caplog.text


@real_time
async def test_a_login_may_forbid_a_request(folder: Path) -> None:
    backend, app = theirs(folder)

    def reads_only(connection: HTTPConnection) -> str:
        if connection.scope.get("method") == "POST":
            raise HTTPException(403, "You may only read")
        return "acme"

    app.include_router(router(backend, tenant=reads_only))

    async with serving(app) as place, httpx2.AsyncClient(timeout=60) as client:
        runs = f"http://{place}/api/runs"
        answer = await client.post(runs, content=a_roadmap("r", "c").to_json())
        assert (answer.status_code, answer.json()["detail"]) == (403, "You may only read.")
        assert answer.headers["content-type"] == "application/problem+json"
        assert (await client.get(runs)).status_code == 200


def test_tokens_and_a_login_cannot_both_decide_the_tenant(folder: Path) -> None:
    settings = Settings.model_validate({"web": {"tokens": [{"token": "0123456789abcdef"}]}})
    backend = Backend(App(settings), work=False)
    for make in (router, create_app):
        with pytest.raises(UsageError) as refused:
            make(backend, tenant=lambda: "acme")
        assert str(refused.value).startswith("router(tenant=…) needs empty web.tokens, got 1 token")


@real_time
async def test_the_requests_of_one_tenant_do_not_use_up_those_of_another(folder: Path) -> None:
    settings = Settings.model_validate(
        {"store": {"url": f"sqlite:///{folder}/p.db"}, "web": {"rate": 0.01}}
    )
    backend = Backend(App(settings), work=False)
    app = FastAPI()
    app.include_router(router(backend, tenant=by_coroutine))

    async with backend, serving(app) as place, httpx2.AsyncClient(timeout=60) as client:

        async def asked(tenant: str) -> int:
            answer = await client.get(f"http://{place}/api/live", headers={"x-tenant": tenant})
            return answer.status_code

        assert [await asked("acme"), await asked("acme")] == [200, 429]
        assert await asked("rival") == 200


@real_time
async def test_a_feed_of_a_tenant_finds_no_run_of_another(folder: Path) -> None:
    settings = Settings.model_validate({"store": {"url": f"sqlite:///{folder}/p.db"}})
    async with Backend(App(settings), work=False) as backend:
        run, _ = await backend.client.for_tenant("acme").submit(a_roadmap("r", "c"))
        async with (
            Feed(backend.hub, tenant="acme") as own,
            Feed(backend.hub, tenant="rival") as feed,
        ):
            await own.follow(run.run_id)
            with pytest.raises(RunNotFound):
                await feed.follow(run.run_id)
            assert feed.runs == 0
            assert run.run_id in (await own.next())[0].text
