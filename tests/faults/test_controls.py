"""Pauses and changed limits with real worker processes, Redis and a simulated LLM."""

import asyncio
import json
import os
import random
import signal
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from paceline import App, Client
from paceline.roadmaps.model import load_roadmap

from tests.support.cli_processes import Simulator, simulator
from tests.support.demo_roadmaps import ROADMAPS
from tests.support.eventually import eventually
from tests.support.worker_processes import PATIENCE, Site

KEY = "openai:gpt-4o-mini"


@pytest.fixture
def llm() -> Iterator[Simulator]:
    """A simulated LLM. Its calls take about a second."""
    with simulator("--speed", "20") as server:
        yield server


@pytest.fixture
def site_settings() -> dict[str, str]:
    """A short lease, so that a lost ledger recovers soon."""
    return {
        "PACELINE_RUN__LEASE": "5",
        "PACELINE_STRATEGY": "global",
        "PACELINE_STRATEGIES__GLOBAL__CONCURRENCY": "20",
    }


def with_client(site: Site, use: Callable[[Client], Coroutine[Any, Any, Any]]) -> Any:
    """Use a client, as another process of the operator does."""

    async def go() -> Any:
        async with App.load(environ=site.home.environment).client() as client:
            return await use(client)

    return asyncio.run(go())


def has_paid(site: Site, calls: int) -> bool:
    """Whether the LLM was paid for this many calls."""
    return bool(site.llm.figures()["paid"] >= calls)


def wait(seconds: float) -> None:
    """Let real time pass while workers work."""
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() >= end, seconds + PATIENCE)


@pytest.mark.parametrize(("executor", "store"), [("in-process", "postgresql")])
@pytest.mark.parametrize("pauses", [2, pytest.param(12, marks=pytest.mark.soak)])
def test_a_pause_at_any_instant_admits_nothing_after_a_second_and_nothing_is_paid_twice(
    site: Site, executor: str, store: str, pauses: int
) -> None:
    del executor, store
    chance = random.Random(pauses)
    targets = ["everything", f"key:{KEY}", "tenant:default"]
    # Enough work that something is left to pause.
    roadmaps = [load_roadmap(path) for path in ROADMAPS[: 2 if pauses < 5 else 8]]
    with ExitStack() as workers:
        for _ in range(2):
            workers.enter_context(site.worker())
        runs = site.submit(*roadmaps)
        done = 0
        for number in range(pauses):
            goal = done + chance.randint(3, 12)
            eventually(partial(has_paid, site, goal), PATIENCE)
            target = targets[number % 3]
            with_client(site, partial(Client.pause_work, target=target))
            wait(1.0)
            admitted = site.llm.figures()["requests"]
            eventually(lambda: not site.llm.figures()["in_flight"], PATIENCE)
            if number == 1:  # the pause survives its workers and a lost Redis
                workers.close()
                site.redis.flushall()
                for _ in range(2):
                    workers.enter_context(site.worker())
            wait(1.0)
            assert site.llm.figures()["requests"] == admitted, target
            done = site.llm.figures()["paid"]
            assert site.count("artifacts") == done
            with_client(site, partial(Client.resume_work, target=target))
        ended = "status = 'completed'"
        eventually(lambda: site.count("runs", ended) == len(runs), PATIENCE)
    figures = site.llm.figures()
    assert figures["paid_again"] == 0
    assert figures["paid"] == 3 * sum(one.concept_count() for one in roadmaps)
    assert site.count("control_log", "action in ('pause', 'resume')") == 2 * pauses


def _tell(site: Site, what: str) -> None:
    root = site.llm.base_url.removesuffix("/v1")
    urllib.request.urlopen(f"{root}/__paceline/{what}", data=b"").close()


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("executor", "store"), [("in-process", "postgresql")])
def test_a_quota_is_halved_and_doubled_in_mid_run_and_no_window_is_over(
    site: Site, executor: str, store: str, record_property: Callable[[str, object], None]
) -> None:
    del executor, store
    site.home.environment |= {
        "PACELINE_STRATEGIES__GLOBAL__CONCURRENCY": "200",
        "PACELINE_STRATEGIES__GLOBAL__REQUESTS_PER_MINUTE": "300",
    }
    requests = refused = 0
    peaks: list[int] = []

    def change(limit: int) -> None:
        nonlocal requests, refused
        values = {"requests_per_minute": limit}
        with_client(site, lambda client: client.set_limits("global", values, key=KEY))
        wait(1.0)
        figures = site.llm.figures()
        requests, refused = requests + figures["requests"], refused + figures["refused"]
        _tell(site, "reset?quota=true")
        _tell(site, f"limits?rpm={limit}")

    with ExitStack() as workers:
        first = workers.enter_context(site.worker())
        for _ in range(3):
            workers.enter_context(site.worker())
        _tell(site, "limits?rpm=300")
        site.submit(*(load_roadmap(path) for path in ROADMAPS), new=True)
        site.submit(*(load_roadmap(path) for path in ROADMAPS), new=True)
        wait(65)
        change(150)
        wait(20)
        site.redis.flushall()
        wait(15)
        os.killpg(first.pid, signal.SIGTERM)
        workers.enter_context(site.worker())
        wait(100)
        peaks.append(site.llm.figures()["requests_last_minute_peak"])
        _tell(site, "limits?rpm=600")
        change(600)
        wait(75)
        peaks.append(site.llm.figures()["requests_last_minute_peak"])
        shown = site.home.json("limits")
        figures = site.llm.figures()
        requests, refused = requests + figures["requests"], refused + figures["refused"]
        (limit,) = [one for one in shown["limits"] if one["key"] == KEY]
        assert limit["changed"] == {"requests_per_minute": 600}
        assert limit["request_quota"] == 600
    record_property("controls", json.dumps([peaks, requests, refused]))
    print(f"peaks {peaks}, {requests} requests, {refused} refused")  # noqa: T201
    assert 120 <= peaks[0] <= 150
    assert 500 <= peaks[1] <= 600
    assert refused <= 0.005 * requests
