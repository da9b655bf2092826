"""A part is unreachable: the server lives, reports that it is not ready, and recovers by itself."""

import asyncio
import os
import signal
from pathlib import Path

import httpx2
import pytest
from paceline.testing.servers import Postgres, Valkey
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql import schema
from pydantic import SecretStr

from tests.support.cli_terminal import a_roadmap
from tests.support.eventually import eventually_async
from tests.support.web_site import Site, site
from tests.web.test_api import problem

PATIENCE = 60.0


async def ready(here: Site) -> bool:
    return (await here.client.get("/ready")).status_code == 200


def told_without_secrets(answer: httpx2.Response) -> None:
    """Check for a problem that names the unreachable part and reveals no secret."""
    # What does not answer in a moment may be on its way to be found away.
    kind = answer.json()["type"].rpartition(":")[2]
    assert kind in {"not-ready", "part-unavailable"}
    problem(answer, 503, kind)
    for secret in ("hunter2", "asyncpg", "Traceback", ".py"):
        assert secret not in answer.text


@pytest.mark.soak
@pytest.mark.parametrize(
    "frozen",
    [pytest.param(True, id="frozen", marks=pytest.mark.soak), pytest.param(False, id="dead")],
)
@real_time(limit=180)
async def test_without_its_database_the_server_lives_and_is_not_ready(
    tmp_path: Path, *, frozen: bool
) -> None:
    with Postgres() as postgres:
        url = postgres.create_database("web")
        await asyncio.to_thread(schema.upgrade, SecretStr(url))
        async with site(tmp_path, store=url) as here:
            assert await ready(here)
            if frozen:
                os.kill(postgres.pid, signal.SIGSTOP)
                _signal_children(postgres.pid, signal.SIGSTOP)
            else:
                postgres.kill()
            try:
                for _ in range(2):
                    told_without_secrets(await here.client.get("/ready"))
                assert (await here.client.get("/health")).status_code == 200
                if not frozen:
                    for method, path in (("GET", "/api/runs"), ("POST", "/api/runs/x/cancel")):
                        answer = await here.client.request(method, path)
                        told_without_secrets(answer)
                        assert int(answer.headers["retry-after"]) > 0
            finally:
                if frozen:
                    _signal_children(postgres.pid, signal.SIGCONT)
                    os.kill(postgres.pid, signal.SIGCONT)
                else:
                    postgres.restart()
            await eventually_async(lambda: ready(here), PATIENCE)
            await here.submitted(a_roadmap("r", "c"))


def _signal_children(pid: int, number: int) -> None:
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            os.kill(int(child), number)


@pytest.mark.parametrize("executor", ["arq", "celery"])
@real_time(limit=180)
async def test_without_its_broker_the_server_lives_and_is_not_ready(
    tmp_path: Path, executor: str
) -> None:
    with Valkey() as valkey:
        async with site(tmp_path, executor=executor, redis={"url": valkey.url}) as here:
            run_id = await here.submitted(a_roadmap("r", "c"))
            assert await ready(here)
            valkey.kill()
            told_without_secrets(await here.client.get("/ready"))
            assert (await here.client.get("/health")).status_code == 200
            shown = await here.client.get(f"/api/runs/{run_id}")
            assert shown.json()["status"] == "queued", "what is stored can be read"
            refused = await here.client.post("/api/runs", content=a_roadmap("other", "c").to_json())
            told_without_secrets(refused)
            valkey.restart()
            await eventually_async(lambda: ready(here), PATIENCE)
