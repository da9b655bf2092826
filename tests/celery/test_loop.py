"""The loop thread, with a real worker on the memory store, and threads that block on it."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace

import pytest
from paceline.contracts.executor import Executor
from paceline.contracts.storage.records import RunStatus
from paceline.errors import PartUnavailable
from paceline.runtime.worker import Worker
from paceline.testing.scripted import ScriptedProvider, plain_answer
from paceline_adapters.celery import loop
from paceline_adapters.celery.loop import LoopThread
from paceline_adapters.celery.shutdown_pipes import ShutdownPipes

from tests.support.celery_home import a_roadmap
from tests.support.eventually import eventually
from tests.support.memory_worker import Rig, rig


class Submissions(Executor):
    """Records what is submitted."""

    def __init__(self) -> None:
        self.runs: list[str] = []

    async def submit(self, run_id: str) -> None:
        self.runs.append(run_id)

    def serve(self, *, concurrency: int | None = None) -> int:
        raise NotImplementedError


@dataclass
class Process:
    """What a worker process consists of: a loop thread and task threads."""

    calls_take: float = 0.01
    failures: int = 0
    pipes: ShutdownPipes = field(default_factory=ShutdownPipes)
    submitted: Submissions = field(default_factory=Submissions)
    tasks: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4))
    inside: Rig | None = None

    def __post_init__(self) -> None:
        self.provider = ScriptedProvider(lambda call, _: (self.calls_take, plain_answer(call.step)))
        self.thread = LoopThread(self._open_worker, self._open_executor, self.pipes, grace=25.0)

    @asynccontextmanager
    async def _open_worker(self) -> AsyncGenerator[Worker, None]:
        if self.failures:
            self.failures -= 1
            raise PartUnavailable("the database is unreachable")
        async with rig(self.provider) as inside:
            inside.worker.parts = replace(inside.worker.parts, executor=self.submitted)
            self.inside = inside
            self.home = asyncio.get_running_loop()
            yield inside.worker

    @asynccontextmanager
    async def _open_executor(self) -> AsyncGenerator[Executor, None]:
        yield self.submitted

    def create(self, concepts: int) -> str:
        """Create a queued run."""
        eventually(lambda: self.inside is not None)
        inside = self.inside
        assert inside is not None
        creating = inside.client.submit(a_roadmap(f"of-{concepts}", concepts))
        return asyncio.run_coroutine_threadsafe(creating, self.home).result()[0].run_id

    def status(self, run_id: str) -> RunStatus:
        """The current status of a run."""
        assert self.inside is not None
        return (
            asyncio.run_coroutine_threadsafe(self.inside.store.run(run_id), self.home)
            .result()
            .status
        )

    def do(self, what: Callable[[str], object], run_id: str) -> Callable[[], object]:
        """Call ``what`` in a task thread. The returned function waits for the result."""
        return self.tasks.submit(what, run_id).result


@contextmanager
def process(**given: object) -> Iterator[Process]:
    it = Process(**given)  # type: ignore[arg-type]
    it.thread.start()
    try:
        yield it
    finally:
        it.thread.close()
        it.tasks.shutdown()
        it.pipes.close()


def test_a_task_blocks_until_its_run_has_ended() -> None:
    with process() as it:
        run = it.create(2)
        assert it.thread.work(run) == "completed"
        assert it.status(run) == "completed"
        assert it.thread.work(run) is None


def test_runs_share_the_loop() -> None:
    with process(calls_take=0.2) as it:
        runs = [it.create(concepts) for concepts in (1, 2, 3)]
        results = [it.do(it.thread.work, run) for run in runs]
        eventually(lambda: it.provider.in_flight == 6)
        assert [result() for result in results] == ["completed"] * 3


def test_an_expired_run_is_queued_again_and_the_next_run_is_unaffected() -> None:
    with process(calls_take=0.05) as it:
        long, short = it.create(500), it.create(1)
        working = it.do(it.thread.work, long)
        eventually(lambda: len(it.provider.requests) > 500)  # some artifacts are saved
        it.thread.expire(long)
        assert working() == "queued"
        assert it.provider.in_flight == 0
        assert it.thread.work(short) == "completed"
        assert it.status(long) == "queued"
        # Creating the run does not submit it here, so the one submission is the hand-back.
        assert it.submitted.runs.count(long) == 1


def test_an_expired_run_without_an_artifact_fails() -> None:
    with process(calls_take=60.0) as it:
        run = it.create(1)
        working = it.do(it.thread.work, run)
        eventually(lambda: it.provider.in_flight)
        it.thread.expire(run)
        assert working() == "failed"


def test_expiring_an_ended_run_does_nothing() -> None:
    with process() as it:
        run = it.create(1)
        it.thread.work(run)
        it.thread.expire(run)
        assert it.status(run) == "completed"


def test_a_message_redelivered_while_its_run_is_handed_back_is_not_lost() -> None:
    with process(calls_take=0.05) as it:
        run = it.create(500)
        working = it.do(it.thread.work, run)
        eventually(lambda: len(it.provider.requests) > 500)
        assert it.thread.work(run) is None  # redelivered and acknowledged
        it.thread.expire(run)
        assert working() == "queued"
        assert it.submitted.runs == [run, run]


@pytest.mark.parametrize(
    "request_shutdown", [ShutdownPipes.request_drain, ShutdownPipes.request_stop]
)
def test_a_shutdown_request_hands_all_runs_back_and_rejects_new_ones(
    request_shutdown: Callable[[ShutdownPipes], None],
) -> None:
    with process(calls_take=0.05) as it:
        run, late = it.create(500), it.create(1)
        working = it.do(it.thread.work, run)
        eventually(lambda: it.provider.in_flight)
        request_shutdown(it.pipes)
        assert working() == "queued"
        assert it.submitted.runs == [run]
        assert it.thread.work(late) is None
        assert it.submitted.runs == [run, late]


def test_a_drain_request_reaches_every_watcher_even_a_late_one() -> None:
    pipes = ShutdownPipes()
    notified: list[str] = []

    async def watch(name: str) -> None:
        requested = asyncio.Event()
        pipes.watch(requested.set, requested.set)
        await requested.wait()
        notified.append(name)

    early = threading.Thread(target=lambda: asyncio.run(watch("early")))
    early.start()
    pipes.request_drain()
    early.join()
    asyncio.run(watch("late"))
    assert notified == ["early", "late"]
    pipes.close()


def test_a_worker_waits_for_an_unreachable_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "RETRY", 0.01)
    with process(failures=3) as it:
        assert it.thread.work(it.create(1)) == "completed"


def test_a_worker_that_never_started_hands_its_messages_back() -> None:
    with process(failures=10**9) as it:
        working = it.do(it.thread.work, "run")
        it.pipes.request_drain()
        assert working() is None
        assert it.submitted.runs == ["run"]
