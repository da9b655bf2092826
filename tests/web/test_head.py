"""HEAD answers as GET does, without a body, on every route."""

from pathlib import Path

import httpx2
from paceline.settings.model import WebSettings
from paceline.testing.virtual_time import real_time

from tests.support.cli_terminal import a_roadmap, a_run
from tests.support.web_site import Site, site

#: Routes that the OpenAPI document leaves out.
OTHERS = ("/", "/openapi.json", "/page/index.html", "/page/none", "/none", "/ws/runs")


def stable(answer: httpx2.Response) -> dict[str, str]:
    """The headers that two answers share; the length of figures may differ."""
    changing = {"date", "content-length"}
    return {name: value for name, value in answer.headers.items() if name not in changing}


async def check(here: Site, path: str) -> None:
    async with here.client.stream("GET", path) as got:
        headed = await here.client.head(path)
        assert (headed.status_code, stable(headed)) == (got.status_code, stable(got)), path
        assert ("content-length" in headed.headers) == ("content-length" in got.headers), path
        assert headed.content == b""


@real_time
async def test_head_answers_like_get_on_every_route(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        run = await a_run(here.backend.store, a_roadmap("r", "c"), "running")
        values = {"run_id": run.run_id, "concept_id": "c", "step": "tutorial"}
        paths = (await here.client.get("/openapi.json")).json()["paths"]
        gets = [path.format(**values) for path in paths if "get" in paths[path]]
        assert f"/api/runs/{run.run_id}/events" in gets
        for path in (*gets, *OTHERS):
            await check(here, path)


@real_time
async def test_head_of_a_route_without_get_names_what_is_allowed(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        for path, allowed in (("/api/tickets", "POST"), ("/api/runs", "GET, HEAD, POST")):
            answer = await here.client.request("PUT", path)
            assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        place = "/api/runs/r/concepts/{}/artifacts/quiz/restore"
        for path in ("/api/tickets", place.format("c"), place.format("c" * 500)):
            for ask in (here.client.head, here.client.get):
                answer = await ask(path)
                assert (answer.status_code, answer.headers["allow"]) == (405, "POST"), path


@real_time
async def test_head_of_events_leaves_no_stream_open(tmp_path: Path) -> None:
    web = WebSettings(max_streams_per_client=2)
    async with site(tmp_path, web=web) as here:
        run = await a_run(here.backend.store, a_roadmap("r", "c"), "running")
        for _ in range(5):
            headed = await here.client.head(f"/api/runs/{run.run_id}/events")
            assert headed.status_code == 200
