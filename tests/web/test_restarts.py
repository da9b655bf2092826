"""The server is killed in mid-run: clients that reconnect get what they missed."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.support.cli_processes import Home, simulator
from tests.support.cli_terminal import a_roadmap
from tests.support.eventually import eventually, eventually_async
from tests.support.serve_process import Served, served
from tests.support.stream_clients import Heard, position

CONCEPTS = [f"c{number}" for number in range(10)]
#: Seconds that anything here may take on a machine that has much else to do.
PATIENCE = 120.0


@dataclass
class Follower:
    """A client that reconnects with its last position until it has received the end.

    Attributes:
        address: host and port.
        run_id: what it follows.
        transport: ``ws`` or ``sse``.
        heard: what it was told, in order.
        came: how often it was let in.
    """

    address: str
    run_id: str
    transport: str
    heard: list[Heard] = field(default_factory=list[Heard])
    came: int = 0

    @property
    def over(self) -> bool:
        """Whether it has received the end."""
        return bool(self.heard) and self.heard[-1]["type"] == "content_generation_finished"

    def rising(self) -> list[Heard]:
        """What it was told, but for where the run stands, told once more in the same place."""
        found: list[Heard] = []
        for event in self.heard:
            place = (event["epoch"], event["offset"])
            if place > ((found[-1]["epoch"], found[-1]["offset"]) if found else (0, 0)):
                found.append(event)
            else:
                assert event["type"] == "content_generation_snapshot"
        return found

    async def follow(self) -> None:
        """Receive everything, whatever happens to the server."""
        while not self.over:
            await eventually_async(self._there, PATIENCE)
            lost = (OSError, ConnectionClosed, InvalidHandshake, httpx2.HTTPError)
            with suppress(*lost):
                async with aclosing(
                    self._socket() if self.transport == "ws" else self._sse()
                ) as it:
                    async for event in it:
                        self.heard.append(event)

    async def _there(self) -> bool:
        """Whether a connection is open."""
        host, port = self.address.split(":")
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            return False
        writer.close()
        return True

    @property
    def _place(self) -> str | None:
        return position(self.heard[-1]) if self.heard else None

    async def _socket(self) -> AsyncGenerator[Heard, None]:
        after = "" if self._place is None else f"?after={self._place}"
        url = f"ws://{self.address}/ws/runs/{self.run_id}{after}"
        async with connect(url, open_timeout=60) as client:
            self.came += 1
            async for text in client:
                event: Heard = json.loads(text)
                if event["type"] != "hello":
                    yield event

    async def _sse(self) -> AsyncGenerator[Heard, None]:
        headers = {} if self._place is None else {"Last-Event-ID": self._place}
        path = f"http://{self.address}/api/runs/{self.run_id}/events"
        async with (
            httpx2.AsyncClient(timeout=60) as client,
            client.stream("GET", path, headers=headers) as answer,
        ):
            assert answer.status_code == 200
            self.came += 1
            async for message in httpx2.EventSource(answer):
                yield json.loads(message.data)


def stored_events(url: str, run_id: str) -> list[dict[str, Any]]:
    """A run's events as they lie in Redis, oldest first."""
    with redis.Redis.from_url(url) as client:
        (key,) = [one for one in client.keys(f"*{run_id}*") if client.type(one) == b"stream"]
        found: list[dict[str, Any]] = []
        for place, fields in client.xrange(key):
            epoch, _, offset = place.decode().partition("-")
            [text] = [value for value in fields.values() if value.startswith(b"{")]
            at = {"epoch": int(epoch), "offset": int(offset)}
            found.append({**json.loads(text), **at})
        return found


def kill(server: Served) -> None:
    """Kill a server."""
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()


@pytest.mark.parametrize(
    "executor",
    [
        pytest.param("in-process", marks=pytest.mark.soak),
        pytest.param("celery", marks=pytest.mark.soak),
        "arq",
    ],
)
def test_a_client_that_reconnects_after_a_kill_gets_exactly_what_it_missed(
    executor: str, tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    with ExitStack() as stack:
        llm = stack.enter_context(simulator("--speed", "15"))
        home = Home(
            tmp_path,
            {
                "PACELINE_EXECUTOR": executor,
                "PACELINE_STORE__URL": postgres_url,
                "PACELINE_REDIS__URL": redis_url,
                "PACELINE_PROVIDER__BASE_URL": llm.base_url,
                "PACELINE_PROVIDER__API_KEY": "any",
                "PACELINE_RUN__LEASE": "3",
                "PACELINE_STRATEGIES__PER_ROADMAP__LIMIT": "3",
            },
        )
        home.run("db", "upgrade")
        # With a queue the worker is a process of its own, and lives on; else it dies too.
        alone = executor != "in-process"
        if alone:
            stack.enter_context(home.started("worker", name="worker"))
            eventually(lambda: "is ready" in home.log("worker"), PATIENCE)
        options = ["--no-worker"] if alone else []

        async def scenario() -> None:
            def start(port: str = "0") -> Served:
                return stack.enter_context(
                    served(tmp_path, *options, "--port", port, **home.environment)
                )

            server = await asyncio.to_thread(start)
            address = server.url.removeprefix("http://")
            body = a_roadmap("learn", *CONCEPTS).to_json().encode()
            made = await asyncio.to_thread(lambda: server.ask("/api/runs", body=body))
            run_id = made["run"]["run_id"]
            followers = [Follower(address, run_id, transport) for transport in ("ws", "sse")]
            async with asyncio.TaskGroup() as tasks:
                for one in followers:
                    tasks.create_task(one.follow())
                await eventually_async(
                    lambda: all(
                        one.heard and one.heard[-1]["progress_current"] >= 2 for one in followers
                    ),
                    PATIENCE,
                )
                kill(server)
                server = await asyncio.to_thread(start, address.rpartition(":")[2])
            published = stored_events(redis_url, run_id)
            for one in followers:
                assert one.came >= 2
                state, *rest = one.rising()
                assert state["type"] == "content_generation_snapshot"
                assert rest == published[state["offset"] :]
                assert (rest[-1]["type"], rest[-1]["status"]) == (
                    "content_generation_finished",
                    "completed",
                )
            page = await asyncio.to_thread(server.ask, f"/api/runs/{run_id}/concepts")
            assert {one["status"] for one in page["concepts"]} == {"completed"}
            told = {one["concept_id"] for one in published if one["status"] == "completed"}
            assert told - {None} == set(CONCEPTS)

        asyncio.run(scenario())
