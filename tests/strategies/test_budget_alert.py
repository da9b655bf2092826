"""The POST of a budget of which most is spent, to a real HTTP server."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from paceline import App, Done, SettingsError, Work
from paceline.contracts.storage.budgets import BudgetLimits, to_nanos
from paceline.testing.contracts.store.inputs import submitted
from paceline.testing.virtual_time import real_time
from paceline_adapters.memory.store import MemoryStore
from paceline_strategies import budget_alert
from paceline_strategies.budget import Budget


@dataclass
class Receiver:
    """What a server received, and what it answers: the statuses in turn, then 204."""

    port: int = 0
    answers: Sequence[str] = ()
    requests: list[tuple[str, dict[str, object]]] = field(
        default_factory=list[tuple[str, dict[str, object]]]
    )
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        (length,) = (
            int(line.split(":")[1])
            for line in head.split("\r\n")
            if line.lower().startswith("content-length")
        )
        body = json.loads(await reader.readexactly(length))
        number = len(self.requests)
        self.requests.append((head, body))
        answer = self.answers[number] if number < len(self.answers) else "204 No Content"
        if answer:
            writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
        writer.close()
        self.arrived.set()


@asynccontextmanager
async def receiving(*answers: str) -> AsyncGenerator[Receiver]:
    receiver = Receiver(answers=answers)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver


async def use_up(budget: Budget, run_id: str) -> None:
    """Spend 90 % of a budget of 10, in two calls."""
    for cost in (9.0, 0.5):
        work = Work(
            level="call",
            run_id=run_id,
            roadmap_id="r",
            concept_id="c",
            key="p:m",
            step=f"s{cost}",
            cost=cost,
        )
        (await budget.admit(work)).release(Done(cost=cost))


def a_budget(store: MemoryStore, port: int, worker_id: str = "w") -> Budget:
    return Budget(
        BudgetLimits(common={"run": to_nanos(10)}),
        store,
        worker_id=worker_id,
        warn_url=f"http://127.0.0.1:{port}/hook?token=secret",
    )


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_alert, "_PAUSES", (0.0, 0.0))


@real_time
async def test_one_post_says_that_most_of_a_budget_is_spent_over_all_workers() -> None:
    store = MemoryStore()
    run = await submitted(store)
    async with receiving() as receiver:
        budgets = [a_budget(store, receiver.port, name) for name in ("one", "two")]
        await use_up(budgets[0], run.run_id)
        work = Work(
            level="call", run_id=run.run_id, roadmap_id="r", concept_id="c", key="p:m", cost=0.1
        )
        (await budgets[1].admit(work)).release(Done(cost=0.1))
        await receiver.arrived.wait()
        for budget in budgets:
            await budget.close()
    ((head, body),) = receiver.requests
    assert head.startswith("POST /hook?token=secret HTTP/1.1\r\n")
    assert (body["type"], body["limit"], body["run_id"]) == ("budget.low", "per_run", run.run_id)
    assert (body["amount"], body["spent"]) == (10.0, 9.0)
    assert "9.0000 USD of 10.0000 USD spent" in str(body["text"])


@real_time
async def test_a_receiver_that_fails_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    run = await submitted(store)
    async with receiving("503 Busy", "") as receiver:
        budget = a_budget(store, receiver.port)
        await use_up(budget, run.run_id)
        await budget.close()
    assert len(receiver.requests) == 3
    assert "could not be sent" not in caplog.text


@real_time
async def test_a_receiver_that_is_down_is_logged_once_without_its_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    store = MemoryStore()
    run = await submitted(store)
    async with receiving() as receiver:
        port = receiver.port
    budget = a_budget(store, port)
    await use_up(budget, run.run_id)
    await budget.close()
    (line,) = [one for one in caplog.messages if "could not be sent" in one]
    assert f"http://127.0.0.1:{port}: " in line
    assert "secret" not in caplog.text


@real_time
async def test_a_redirect_is_not_followed(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    run = await submitted(store)
    async with receiving("302 Found\r\nLocation: http://127.0.0.1:1/") as receiver:
        budget = a_budget(store, receiver.port)
        await use_up(budget, run.run_id)
        await budget.close()
    assert len(receiver.requests) == 1
    assert "it answers 302" in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/x",
        "host/x",
        "http://",
        "http://user:pass@host/",
        "http://host/a b",
        "http://host/\r\nX: y",
        "http://host:99999/",
        "http://host/#x",
        "http://hóst/",
    ],
)
def test_a_wrong_address_is_refused_and_not_shown(url: str) -> None:
    overrides = {"strategies.budget.per_day": 1, "strategies.budget.warn_url": url}
    with pytest.raises(SettingsError, match="must be http://HOST/PATH") as caught:
        App.load("/dev/null", overrides, environ={})
    assert "pass" not in str(caught.value)
