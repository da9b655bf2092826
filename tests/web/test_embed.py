"""Paceline in another application, as the documentation shows it."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, HTTPException
from paceline import App
from paceline.settings.model import Settings
from paceline.testing.virtual_time import real_time
from paceline_adapters.web import Backend, create_app, router
from paceline_adapters.web.server import Server, config_of, listen
from starlette.requests import HTTPConnection
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.cli_terminal import a_roadmap
from tests.support.eventually import eventually_async
from tests.support.web_site import Working

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "fastapi.md"


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncGenerator[str]:
    """An application on a socket, with its lifespan."""
    web = Settings().web
    with listen(web, "127.0.0.1", 0) as listening:
        config = config_of(app, web)
        config.lifespan = "on"
        server = Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


async def submit_and_hear(place: str) -> None:
    """A roadmap submitted under a prefix is followed by the socket next to it."""
    async with (
        connect(f"ws://{place}/ws/runs", open_timeout=60) as socket,
        httpx2.AsyncClient(timeout=60) as client,
    ):
        submitted = await client.post(
            f"http://{place}/api/runs", content=a_roadmap("r", "c").to_json()
        )
        assert submitted.status_code == 201, submitted.text
        run_id = submitted.json()["run"]["run_id"]
        at = submitted.headers["location"]
        shown = await client.get(f"http://{place.partition('/')[0]}{at}")
        assert shown.json()["run_id"] == run_id
        refused = await client.get(f"http://{place}/api/runs/none")
        assert refused.headers["content-type"] == "application/problem+json"
        while run_id not in str(await socket.recv()):
            pass


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where nothing is set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PACELINE_PROVIDER__BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("PACELINE_PROVIDER__API_KEY", "none")
    monkeypatch.setenv("PACELINE_RUN__GRACE", "0.1")
    return tmp_path


def theirs(folder: Path) -> tuple[Backend, FastAPI]:
    """Another application that opens our parts in its lifespan."""
    settings = Settings.model_validate({"store": {"url": f"sqlite:///{folder}/p.db"}})
    backend = Backend(App(settings), work=False)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with backend:
            yield

    return backend, FastAPI(lifespan=lifespan)


def documented(number: int) -> dict[str, Any]:
    """The names of one of the page's examples, run."""
    code = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code[number], "example", "exec"), names)
    return names


@real_time
async def test_the_documented_application_works_under_its_prefix(folder: Path) -> None:
    app = documented(0)["app"]

    async with serving(app) as place:
        await submit_and_hear(f"{place}/content")


@real_time
async def test_the_whole_application_can_be_mounted(folder: Path) -> None:
    backend, app = theirs(folder)
    app.mount("/paceline", create_app(backend))

    async with serving(app) as place:
        await submit_and_hear(f"{place}/paceline")
        async with httpx2.AsyncClient() as client:
            page = await client.get(f"http://{place}/paceline/")
            assert page.headers["content-type"].startswith("text/html")
            assert (await client.get(f"http://{place}/api/runs")).status_code == 404


@real_time
async def test_the_documented_objects_work_without_our_routes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate = documented(2)["generate"]
    settings = Settings.model_validate({"store": {"url": f"sqlite:///{folder}/p.db"}})

    async with Backend(App(settings), work=False) as backend:
        generating = asyncio.create_task(generate(backend, a_roadmap("r", "c")))

        async def submitted() -> str:
            return "".join(one.run_id for one in await backend.store.runs())

        work = await Working.on(backend, await eventually_async(submitted))
        await work.complete("c")
        await work.end()
        await generating

    told = capsys.readouterr().out.splitlines()
    assert "content_generation_finished" in told[-1]
    assert re.match(r"\d+-\d+ \{", told[-1])


@real_time
async def test_your_own_login_protects_routes_and_sockets(folder: Path) -> None:
    backend, app = theirs(folder)

    def login(connection: HTTPConnection) -> None:
        if connection.headers.get("x-user") != "me":
            raise HTTPException(401, "Log in first")

    app.include_router(router(backend), prefix="/content", dependencies=[Depends(login)])

    async with serving(app) as place, httpx2.AsyncClient(timeout=60) as client:
        me = {"x-user": "me"}
        runs = f"http://{place}/content/api/runs"
        assert (await client.get(runs, headers=me)).status_code == 200
        for answer in (
            await client.get(runs),
            await client.post(runs, content=a_roadmap("r", "c").to_json()),
        ):
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"
        url = f"ws://{place}/content/ws/runs"
        async with connect(url, open_timeout=60, additional_headers=me) as socket:
            assert "hello" in str(await socket.recv())
        with pytest.raises(InvalidStatus) as refused:
            async with connect(url, open_timeout=60):
                pass
        assert refused.value.response.status_code in {401, 403}
        assert not (await client.get(runs, headers=me)).json()["runs"]
