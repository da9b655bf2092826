"""`DELETE /api/runs/{run_id}`."""

import asyncio
import json
from pathlib import Path

import httpx2
from paceline.settings.model import TokenSettings, WebSettings
from paceline.testing.virtual_time import real_time
from pydantic import SecretStr
from websockets.asyncio.client import connect

from tests.support.cli_terminal import a_roadmap
from tests.support.web_site import READER, WRITER, site


@real_time
async def test_a_deleted_run_does_not_exist(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        run_id = await here.submitted(a_roadmap("r", "a"))
        place = f"/api/runs/{run_id}"
        answer = await here.client.delete(place)
        assert (answer.status_code, answer.content) == (204, b"")
        for path in (place, f"{place}/roadmap", f"{place}/concepts", f"{place}/events"):
            assert (await here.client.get(path)).status_code == 404
        assert (await here.client.delete(place)).status_code == 404
        assert (await here.client.get("/api/runs")).json()["runs"] == []


@real_time
async def test_a_running_run_is_a_conflict(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        run_id = await here.submitted(a_roadmap("r", "a"))
        assert await here.backend.store.claim(run_id, "worker", lease=30)
        answer = await here.client.delete(f"/api/runs/{run_id}")
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:paceline:run-in-work")
        assert (await here.client.get(f"/api/runs/{run_id}")).status_code == 200


@real_time
async def test_an_interrupted_deletion_is_continued(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        run_id = await here.submitted(a_roadmap("r", "a"))
        await here.backend.store.hide(run_id)
        assert (await here.client.get(f"/api/runs/{run_id}")).status_code == 404
        assert (await here.client.delete(f"/api/runs/{run_id}")).status_code == 204
        assert await here.backend.store.purgeable() == []


@real_time
async def test_only_writers_of_the_tenant_may_delete(tmp_path: Path) -> None:
    tokens = [
        TokenSettings(token=SecretStr(WRITER), tenant="acme"),
        TokenSettings(token=SecretStr(READER), tenant="acme", scope="read"),
        TokenSettings(token=SecretStr("a-rival-0123456789"), tenant="rival"),
    ]
    origins = ["https://example.org"]
    web = WebSettings(tokens=tokens, origins=origins)
    async with site(tmp_path, web=web, token=WRITER) as here:
        place = f"/api/runs/{await here.submitted(a_roadmap('r', 'a'))}"

        async def delete(token: str) -> httpx2.Response:
            return await here.client.delete(place, headers={"Authorization": f"Bearer {token}"})

        assert (await delete("wrong-0123456789ab")).status_code == 401
        assert (await delete(READER)).status_code == 403
        assert (await delete("a-rival-0123456789")).status_code == 404
        asked = {"Origin": origins[0], "Access-Control-Request-Method": "DELETE"}
        assert (await here.client.options(place, headers=asked)).status_code == 200
        assert (await delete(WRITER)).status_code == 204


@real_time
async def test_followers_of_a_deleted_run_receive_its_end(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        run_id = await here.submitted(a_roadmap("r", "a"))
        async with connect(f"{here.ws}/ws/runs/{run_id}") as socket:
            async with asyncio.timeout(30):
                assert json.loads(await socket.recv())["type"] == "hello"
                assert json.loads(await socket.recv())["status"] == "queued"
                assert (await here.client.delete(f"/api/runs/{run_id}")).status_code == 204
                last = json.loads(await socket.recv())
                assert (last["type"], last["reason"]) == (
                    "content_generation_finished",
                    "the run was purged",
                )
                await socket.wait_closed()
        assert socket.close_code == 1000
