"""Real arq worker processes, and their faults."""

import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from arq.constants import job_key_prefix
from arq.utils import timestamp_ms
from paceline.settings.model import RedisSettings
from paceline.testing.servers import Valkey
from paceline.testing.virtual_time import real_time
from paceline_adapters.arq.message import RUN
from paceline_adapters.arq.queue import Queue
from pydantic import SecretStr

from tests.arq.conftest import World
from tests.support.eventually import eventually

T = TypeVar("T")
#: Maximum number of seconds that a worker needs on a busy machine.
PATIENCE = 60.0


@real_time
async def ask(redis_url: str, question: Callable[[Queue], Awaitable[T]]) -> T:
    """Ask the queue one question."""
    queue = Queue(RedisSettings(url=SecretStr(redis_url)), "content_generation")
    try:
        return await question(queue)
    finally:
        await queue.close()


def test_a_worker_runs_at_most_max_jobs_roadmaps_at_once(world: World, redis_url: str) -> None:
    world.submit("one", "two", "three")
    assert ask(redis_url, Queue.waiting) == 3
    with world.home.started("worker", "--set", "executors.arq.max_jobs=2") as worker:
        (load,) = eventually(lambda: [x for x in ask(redis_url, Queue.loads) if x.active], PATIENCE)
        eventually(lambda: len(ask(redis_url, Queue.loads)[0].active) == 2)
        assert (load.reserved, load.concurrency) == ((), 2)
        assert ask(redis_url, Queue.waiting) == 1
        eventually(lambda: world.completed() == 3, within=PATIENCE)
        eventually(lambda: ask(redis_url, Queue.loads)[0].active == ())
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE) == 143
    figures = world.llm.figures()
    # Two roadmaps at once, each with two concepts at once.
    assert (figures["in_flight_peak"], figures["paid"]) == (4, 3 * 4 * 3)
    assert ask(redis_url, Queue.loads) == []
    assert ask(redis_url, lambda queue: queue.client.zcard(queue.name)) == 0
    assert world.count("workers") == 0


@pytest.mark.soak
def test_a_run_delivered_many_times_is_generated_once(world: World, redis_url: str) -> None:
    (run_id,) = world.submit("one")

    async def deliver_again(queue: Queue) -> None:
        for number in range(100, 110):
            job_id = f"{queue.name}:{run_id}:{number}"
            assert await queue.client.enqueue_job(RUN, run_id, _job_id=job_id)

    ask(redis_url, deliver_again)
    with world.home.workers(count=2):
        eventually(lambda: world.completed() == 1, within=PATIENCE)
        eventually(lambda: ask(redis_url, lambda queue: queue.client.zcard(queue.name)) == 0)
    figures = world.llm.figures()
    assert (figures["paid"], figures["prompts_paid_twice"]) == (4 * 3, 0)
    assert world.sql("SELECT fence FROM runs") == "1"


@pytest.mark.soak
def test_a_drained_worker_hands_its_runs_to_other_workers_at_once(world: World) -> None:
    with world.home.workers(count=2) as workers:
        world.submit("one", concepts=8)
        eventually(lambda: world.count("artifacts") > 2, within=PATIENCE)
        pid = int(world.sql("SELECT pid FROM workers JOIN runs ON owner = worker_id"))
        (busy,) = [worker for worker in workers if worker.pid == pid]
        busy.send_signal(signal.SIGTERM)
        assert busy.wait(PATIENCE) == 143
        left = world.count("artifacts")
        assert left < 8 * 3
        eventually(lambda: world.completed() == 1, within=PATIENCE)
    figures = world.llm.figures()
    # Calls in flight were finished and their artifacts saved.
    assert (figures["paid"], figures["prompts_paid_twice"]) == (8 * 3, 0)


@pytest.mark.soak
def test_a_second_signal_stops_at_once_and_the_run_is_resumed(world: World, redis_url: str) -> None:
    world.home.environment["PACELINE_PROVIDER__TIMEOUT"] = "60"
    world.submit("one")
    with world.home.started("worker") as worker:
        eventually(lambda: world.llm.figures()["in_flight"] == 2, within=PATIENCE)
        worker.send_signal(signal.SIGINT)
        worker.send_signal(signal.SIGINT)
        assert worker.wait(PATIENCE) == 130
    assert world.sql("SELECT status FROM runs") == "queued"
    assert ask(redis_url, Queue.waiting) == 1
    with world.home.started("worker"):
        eventually(lambda: world.completed() == 1, within=PATIENCE)


def test_the_run_of_a_killed_worker_is_recovered_when_another_starts(world: World) -> None:
    world.home.environment["PACELINE_RUN__LEASE"] = "600"  # recovery must not wait until it expires
    world.submit("one", concepts=8)
    with world.home.started("worker") as worker:
        eventually(lambda: world.count("artifacts") > 2, within=PATIENCE)
        worker.kill()
        worker.wait()
    assert world.sql("SELECT status FROM runs") == "running"
    with world.home.started("worker"):
        eventually(lambda: world.completed() == 1, within=PATIENCE)
    assert world.llm.figures()["paid_again"] <= 2


@pytest.mark.parametrize(
    ("number", "left"),
    [
        pytest.param(signal.SIGKILL, "queued", marks=pytest.mark.soak),
        pytest.param(signal.SIGINT, "paused", marks=pytest.mark.soak),
    ],
)
def test_local_workers_end_when_their_command_does(
    world: World, number: signal.Signals, left: str
) -> None:
    file = str(world.roadmap("one", concepts=60))
    with world.home.started("run", file, "--workers", "2") as command:
        eventually(lambda: world.count("workers") == 2, within=PATIENCE)
        eventually(lambda: world.count("artifacts") > 2, within=PATIENCE)
        command.send_signal(number)
        command.wait(PATIENCE)
        # They hand their runs back and deregister.
        eventually(lambda: world.count("workers") == 0, within=PATIENCE)
    assert world.sql("SELECT status FROM runs") == left
    assert world.llm.figures()["prompts_paid_twice"] == 0


def test_a_worker_survives_a_redis_that_loses_all_data(world: World) -> None:
    with Valkey() as server:
        world.home.environment["PACELINE_REDIS__URL"] = server.url
        world.submit("one", "two", concepts=6)
        with world.home.started("worker", "--set", "executors.arq.max_jobs=1") as worker:
            eventually(lambda: world.count("artifacts") > 2, within=PATIENCE)
            server.kill()
            before = world.count("artifacts")
            # Runs in work continue.
            eventually(lambda: world.count("artifacts") > before, within=PATIENCE)
            server.restart()
            # Redis has lost the message of the second run, but the store still has the run.
            eventually(lambda: world.completed() == 2, within=PATIENCE)
            assert worker.poll() is None
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(PATIENCE) == 143
    log = world.home.log("process")
    assert log.count("is unreachable") <= 2
    assert "Traceback" not in log
    assert world.llm.figures()["prompts_paid_twice"] == 0


def test_an_unreachable_redis_is_reported_in_one_line(world: World) -> None:
    world.home.environment["PACELINE_REDIS__URL"] = "redis://:hidden@127.0.0.1:1/0"
    for command in (("submit", str(world.roadmap("one"))), ("worker",)):
        done = world.home.run(*command, code=1)
        (line,) = done.stderr.splitlines()
        assert "127.0.0.1:1" in line
        assert "hidden" not in line


def test_a_foreign_message_is_dropped_and_the_worker_continues(
    world: World, redis_url: str
) -> None:
    async def put_messages(queue: Queue) -> None:
        for name, raw in {
            "pickled": b"\x80\x04\x95\x01",
            "function": b'{"t":null,"f":"os.system","a":["ls"],"k":{},"et":0}',
            "unknown": b'{"t":null,"f":"paceline_run","a":["no-such-run"],"k":{},"et":0}',
        }.items():
            await queue.client.set(f"{job_key_prefix}{name}", raw)
            await queue.client.zadd(queue.name, {name: timestamp_ms()})
        await queue.client.zadd(queue.name, {"without-a-message": timestamp_ms()})

    ask(redis_url, put_messages)
    world.submit("one", concepts=1)
    world.home.environment["PYTHONWARNINGS"] = "always"
    with world.home.started("worker"):
        eventually(lambda: world.completed() == 1, within=PATIENCE)
        eventually(lambda: ask(redis_url, lambda queue: queue.client.zcard(queue.name)) == 0)
    log = world.home.log("process")
    assert log.count("dropped a message") == 2
    assert "Traceback" not in log
    warned = [line for line in log.splitlines() if "DeprecationWarning" in line]
    assert not [line for line in warned if "arq" in line or "redis" in line]


def test_cancelling_a_waiting_run_removes_it_from_the_queue(world: World, redis_url: str) -> None:
    (run_id,) = world.submit("one")
    world.home.run("cancel", run_id)
    assert world.sql("SELECT status FROM runs") == "cancelled"
    assert ask(redis_url, Queue.waiting) == 0
