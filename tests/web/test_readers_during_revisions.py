"""A reader polls an artifact over HTTP while it is revised: each answer is one complete version."""

import asyncio
import random
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from paceline.contracts.storage.records import ENDED
from paceline.settings.model import WebSettings
from paceline.testing.virtual_time import real_time
from paceline_adapters.web import Backend

from tests.support.cli_processes import Home, simulator
from tests.support.cli_terminal import a_roadmap
from tests.support.eventually import eventually_async
from tests.support.web_site import Site, site

#: Seconds between two reads.
PAUSE = 1 / 200


@dataclass(slots=True)
class Reader:
    """A client that reads one artifact again and again.

    Attributes:
        here: the server.
        path: the artifact.
        seen: content by version, as it was read.
        reads: number of answers.
    """

    here: Site
    path: str
    seen: dict[int, object] = field(default_factory=dict[int, object])
    reads: int = 0

    async def read_forever(self) -> None:
        """Read 200 times a second, or as often as the server answers."""
        loop, newest = asyncio.get_running_loop(), 0
        due = loop.time()
        while True:
            answer = await self.here.client.get(self.path)
            assert answer.status_code == 200, answer.text
            body = answer.json()
            version = int(body["version"])
            assert version >= newest, "a reader never goes back"
            assert self.seen.setdefault(version, body["content"]) == body["content"]
            newest = version
            self.reads += 1
            due = max(due + PAUSE, loop.time())
            await asyncio.sleep(due - loop.time())


@asynccontextmanager
async def reading(here: Site, path: str) -> AsyncGenerator[Reader]:
    """A reader until the end of the block; its faults are raised."""
    reader = Reader(here, path)
    task = asyncio.create_task(reader.read_forever())
    try:
        yield reader
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def revised(here: Site, run_id: str, number: int) -> None:
    """Revise the tutorial of a concept, and wait until the run has ended."""
    body = {
        "artifacts": [{"concept_id": "c0", "step": "tutorial"}],
        "instruction": f"Attempt {number}.",
    }
    answer = await here.client.post(f"/api/runs/{run_id}/revisions", json=body)
    assert answer.status_code == 200, answer.text
    await ended(here.backend, run_id)


async def ended(backend: Backend, run_id: str) -> None:
    """Wait until a run has ended, and completed."""

    async def has_ended() -> bool:
        return (await backend.store.run(run_id)).status in ENDED

    await eventually_async(has_ended, 120)
    assert (await backend.store.run(run_id)).status == "completed"


async def check(here: Site, reader: Reader, revisions: int) -> None:
    """Check that each version that was read is as the store has it."""
    listed = (await here.client.get(f"{reader.path}/versions?content=true")).json()["versions"]
    assert [one["version"] for one in listed] == list(range(1, revisions + 2))
    stored = {one["version"]: one["content"] for one in listed}
    assert reader.seen == {version: stored[version] for version in reader.seen}
    assert all(content["sections"] for content in stored.values())
    assert {1, revisions + 1} <= reader.seen.keys()
    assert reader.reads > revisions


@real_time
async def test_a_reader_sees_a_complete_version_during_twenty_revisions(tmp_path: Path) -> None:
    with simulator("--speed", "2000") as llm:
        provider = {"base_url": llm.base_url, "api_key": "none"}
        web = WebSettings(rate=10_000)
        async with site(tmp_path, work=True, provider=provider, web=web) as here:
            run_id = await here.submitted(a_roadmap("r", "c0"))
            await ended(here.backend, run_id)
            path = f"/api/runs/{run_id}/concepts/c0/artifacts/tutorial"
            async with reading(here, path) as reader:
                await eventually_async(lambda: reader.seen)
                for number in range(20):
                    await revised(here, run_id, number)
                await eventually_async(lambda: 21 in reader.seen)
            await check(here, reader, 20)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
@real_time(limit=None)
async def test_a_reader_sees_a_complete_version_during_500_revisions_some_of_them_killed(
    tmp_path: Path, store: str, request: pytest.FixtureRequest
) -> None:
    revisions, kill_every = 500, 20
    url = f"sqlite:///{tmp_path}/paceline.db"
    if store == "postgresql":
        url = request.getfixturevalue("postgres_url")
    chance = random.Random(7)
    with simulator("--speed", "500") as llm:
        provider = {"base_url": llm.base_url, "api_key": "none"}
        settings = {
            "PACELINE_STORE__URL": url,
            "PACELINE_PROVIDER__BASE_URL": llm.base_url,
            "PACELINE_PROVIDER__API_KEY": "none",
            "PACELINE_RUN__LEASE": "2",
        }
        home = Home(tmp_path, settings)
        home.run("db", "upgrade")
        web = WebSettings(rate=10_000)
        async with site(tmp_path, store=url, provider=provider, web=web) as here:
            run_id = await here.submitted(a_roadmap("r", "c0"))
            path = f"/api/runs/{run_id}/concepts/c0/artifacts/tutorial"
            last, killed = asyncio.create_task(ended(here.backend, run_id)), 0
            with home.started("worker", name="first"):
                await last
            async with reading(here, path) as reader:
                for start in range(0, revisions, kill_every):
                    with home.started("worker", name=f"worker{start}") as worker:
                        await last  # the revision that the worker before it left
                        end = start + kill_every - 1
                        for number in range(start, end):
                            await revised(here, run_id, number)
                        last = asyncio.create_task(revised(here, run_id, end))
                        await asyncio.wait([last], timeout=chance.uniform(0, 0.15))
                        killed += not last.done()
                        worker.send_signal(signal.SIGKILL)
                with home.started("worker", name="last"):
                    await last
                await eventually_async(lambda: revisions + 1 in reader.seen)
            await check(here, reader, revisions)
            assert killed > revisions // kill_every // 4
