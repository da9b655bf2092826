"""Worker processes on both pools: they finish runs, share them, stop, and get killed."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
import redis

from tests.support.celery_home import Rig, a_roadmap
from tests.support.cli_processes import Simulator
from tests.support.eventually import eventually

POOLS = pytest.mark.parametrize(
    "pool", ["prefork", pytest.param("threads", marks=pytest.mark.soak)]
)


@contextmanager
def a_worker(rig: Rig, name: str = "worker", **options: object) -> Iterator[subprocess.Popen[str]]:
    """A worker process that is ready for messages."""
    more = {
        f"PACELINE_EXECUTORS__CELERY__{key.upper()}": str(value) for key, value in options.items()
    }
    with rig.home.started("worker", name=name, more=more) as process:
        eventually(lambda: process.poll() is not None or "is ready" in rig.home.log(name), 60)
        assert process.poll() is None, rig.home.log(name)
        yield process
    assert "Traceback" not in rig.home.log(name), rig.home.log(name)


@POOLS
def test_workers_finish_all_runs_and_generate_nothing_twice(
    rig: Rig, llm: Simulator, pool: str
) -> None:
    runs = rig.submit(*(a_roadmap(name, 3) for name in "abc"))
    rig.send(runs[0])  # delivered twice in a row
    with a_worker(rig, pool=pool):
        eventually(lambda: rig.statuses(runs) == {"completed"}, 60)
        rig.send(runs[0])  # it has ended
        eventually(lambda: rig.queued() == 0)
    figures = llm.figures()
    assert (figures["paid"], figures["prompts_paid_twice"]) == (27, 0)
    assert [rig.run(run).fence for run in runs] == [1, 1, 1]
    assert rig.workers() == []


@pytest.mark.parametrize(
    ("pool", "number", "code"),
    [
        ("prefork", signal.SIGTERM, 143),
        pytest.param("threads", signal.SIGINT, 130, marks=pytest.mark.soak),
    ],
)
def test_a_stopped_worker_hands_its_runs_back_and_the_next_worker_resumes_them(
    rig: Rig, llm: Simulator, pool: str, number: int, code: int
) -> None:
    runs = rig.submit(a_roadmap("a", 12), a_roadmap("b", 12))
    with a_worker(rig, pool=pool) as process:
        eventually(lambda: llm.figures()["paid"] >= 4, 30)
        process.send_signal(number)
        assert process.wait(60) == code
    assert rig.statuses(runs) == {"queued"}
    assert rig.workers() == []
    assert rig.queued() == 2
    paid = llm.figures()["paid"]
    assert paid < 72
    with a_worker(rig, "second", pool=pool):
        eventually(lambda: rig.statuses(runs) == {"completed"}, 60)
    figures = llm.figures()
    assert (figures["paid"], figures["prompts_paid_twice"]) == (72, 0)


@pytest.mark.soak
def test_a_second_signal_stops_at_once(rig: Rig, llm: Simulator) -> None:
    (run,) = rig.submit(a_roadmap("a", 200))
    with a_worker(rig, pool="prefork") as process:
        eventually(lambda: llm.figures()["paid"] >= 4, 30)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    assert rig.run(run).status == "queued"
    assert rig.queued() == 1
    assert rig.workers() == []


def test_the_run_of_a_killed_process_is_recovered_at_once(rig: Rig, llm: Simulator) -> None:
    rig.home.environment["PACELINE_RUN__LEASE"] = "600"
    (run,) = rig.submit(a_roadmap("a", 24))
    with a_worker(rig, pool="prefork") as process:
        eventually(lambda: llm.figures()["paid"] >= 4, 30)
        os.kill(rig.owner_pid(run), signal.SIGKILL)
        eventually(lambda: rig.run(run).fence == 2, 30)
        paid = llm.figures()["paid"]
        eventually(lambda: llm.figures()["paid"] > paid + 8, 30)
        assert len(rig.workers()) == 2
        process.kill()
        process.wait(30)
    with a_worker(rig, "second", pool="threads"):
        eventually(lambda: rig.run(run).status == "completed", 60)
    # Two owners were killed, each with at most five calls in flight.
    assert llm.figures()["paid_again"] <= 10


@pytest.mark.soak
def test_the_soft_time_limit_stops_a_run_and_does_not_affect_the_next_task(
    rig: Rig, llm: Simulator
) -> None:
    runs = rig.submit(a_roadmap("long", 24), a_roadmap("short", 2))
    with a_worker(rig, pool="prefork", concurrency=1, soft_time_limit=3, time_limit=60):
        eventually(lambda: rig.statuses(runs) == {"completed"}, 90)
        assert "reached the soft time limit" in rig.home.log("worker")
    long, short = (rig.run(run) for run in runs)
    assert long.fence > 1
    assert short.fence == 1
    # If the stopped run had continued beside the next task, more calls would be in flight.
    assert llm.figures()["in_flight_peak"] <= 5


def test_the_hard_time_limit_kills_a_frozen_process_and_the_run_is_resumed(
    rig: Rig, llm: Simulator
) -> None:
    rig.home.environment["PACELINE_RUN__LEASE"] = "600"
    (run,) = rig.submit(a_roadmap("a", 100))
    with a_worker(rig, pool="prefork", concurrency=1, soft_time_limit=6, time_limit=7):
        eventually(lambda: llm.figures()["in_flight"], 30)
        frozen = rig.owner_pid(run)
        os.kill(frozen, signal.SIGSTOP)  # it can neither react to the soft limit nor hand back
        fence = rig.run(run).fence
        eventually(lambda: rig.run(run).fence > fence, 60)
        assert not psutil.pid_exists(frozen)
        assert "Hard time limit (7s) exceeded" in rig.home.log("worker")
        # The process that replaces it generates concepts.
        eventually(lambda: rig.run(run).completed, 60)


def test_a_run_is_not_lost_with_the_worker_that_fetched_its_message(rig: Rig) -> None:
    (run_id,) = rig.submit(a_roadmap("fetched", 1))
    with redis.Redis.from_url(rig.redis_url) as broker:
        # What Kombu does when a worker fetches a message; a killed worker never acknowledges it.
        (queue,) = broker.keys("*:celery:content_generation")
        (message,) = broker.lrange(queue, 0, -1)
        unacked = queue.replace(b"content_generation", b"unacked")
        broker.hset(unacked, "of a killed worker", message)
        broker.zadd(unacked + b"_index", {"of a killed worker": time.time()})
        broker.delete(queue)
    with rig.home.workers():
        eventually(lambda: rig.run(run_id).status == "completed", within=60)


@pytest.mark.soak
def test_runs_lost_by_a_flushed_broker_are_submitted_again(rig: Rig, llm: Simulator) -> None:
    rig.home.environment["PACELINE_RUN__GRACE"] = "0.1"
    rig.submit(a_roadmap("long", 500))
    broker = redis.Redis.from_url(rig.redis_url)
    with a_worker(rig, pool="threads", concurrency=1), broker:
        eventually(lambda: llm.figures()["in_flight"] and broker.keys("*was-here"), 30)
        rig.submit(a_roadmap("queued", 1))
        assert rig.queued() == 1
        broker.flushdb()
        eventually(lambda: rig.queued() == 1, 30)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://:hidden@127.0.0.1:1/0", "127.0.0.1:1"),
        pytest.param(
            "redis://:hidden@paceline.invalid/0", "paceline.invalid", marks=pytest.mark.soak
        ),
    ],
)
def test_an_unreachable_broker_is_reported_in_one_line(rig: Rig, url: str, address: str) -> None:
    rig.home.environment["PACELINE_REDIS__URL"] = url
    roadmap = rig.write(a_roadmap("a", 1))
    for command in (["submit", str(roadmap)], ["worker"]):
        done = rig.home.run(*command, code=1)
        (line,) = done.stderr.splitlines()
        assert address in line
        assert "hidden" not in done.stderr + done.stdout
