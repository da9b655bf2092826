"""The loop thread, with a real worker in memory on it, and threads that block on it."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace

import pytest
from paceline.contracts.executor import Executor
from paceline.contracts.records import RunStatus
from paceline.errors import PartUnavailable
from paceline.runtime.worker import Worker
from paceline.testing.scripted import ScriptedProvider, plain_answer
from paceline_adapters.celery import loop
from paceline_adapters.celery.bell import Bell
from paceline_adapters.celery.loop import LoopThread

from tests.celery.rig import a_roadmap
from tests.core.rig import Rig, rig
from tests.eventually import eventually


class Submissions(Executor):
    """Keeps what is submitted."""

    def __init__(self) -> None:
        self.runs: list[str] = []

    async def submit(self, run_id: str) -> None:
        self.runs.append(run_id)

    def serve(self, *, concurrency: int | None = None) -> int:
        raise NotImplementedError


@dataclass
class Process:
    """A worker process without the process: its loop thread and its task threads."""

    calls_take: float = 0.01
    failures: int = 0
    bell: Bell = field(default_factory=Bell)
    submitted: Submissions = field(default_factory=Submissions)
    tasks: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4))
    inside: Rig | None = None

    def __post_init__(self) -> None:
        self.provider = ScriptedProvider(lambda call, _: (self.calls_take, plain_answer(call.step)))
        self.thread = LoopThread(self._open_worker, self._open_executor, self.bell)

    @asynccontextmanager
    async def _open_worker(self) -> AsyncGenerator[Worker, None]:
        if self.failures:
            self.failures -= 1
            raise PartUnavailable("the database is away")
        async with rig(self.provider) as inside:
            inside.worker.parts = replace(inside.worker.parts, executor=self.submitted)
            self.inside = inside
            self.home = asyncio.get_running_loop()
            yield inside.worker

    @asynccontextmanager
    async def _open_executor(self) -> AsyncGenerator[Executor, None]:
        yield self.submitted

    def create(self, concepts: int) -> str:
        """A run that waits."""
        eventually(lambda: self.inside is not None)
        inside = self.inside
        assert inside is not None
        creating = inside.service.submit(a_roadmap(f"of-{concepts}", concepts))
        return asyncio.run_coroutine_threadsafe(creating, self.home).result()[0].run_id

    def status(self, run_id: str) -> RunStatus:
        """Where it stands."""
        assert self.inside is not None
        return (
            asyncio.run_coroutine_threadsafe(self.inside.store.run(run_id), self.home)
            .result()
            .status
        )

    def do(self, what: Callable[[str], object], run_id: str) -> Callable[[], object]:
        """Do it in a task's thread; returns what waits for the result."""
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
        it.bell.close()


def test_a_task_blocks_until_its_run_is_over() -> None:
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


def test_a_run_whose_time_is_up_is_queued_again_and_the_next_one_is_clean() -> None:
    with process(calls_take=0.05) as it:
        long, short = it.create(500), it.create(1)
        working = it.do(it.thread.work, long)
        eventually(lambda: len(it.provider.requests) > 500)  # something was saved
        it.thread.expire(long)
        assert working() == "queued"
        assert it.provider.in_flight == 0
        assert it.thread.work(short) == "completed"
        assert it.status(long) == "queued"
        # Besides the two that were created: once, for the hand-back.
        assert it.submitted.runs.count(long) == 1


def test_a_run_whose_time_is_up_without_an_artifact_fails() -> None:
    with process(calls_take=60.0) as it:
        run = it.create(1)
        working = it.do(it.thread.work, run)
        eventually(lambda: it.provider.in_flight)
        it.thread.expire(run)
        assert working() == "failed"


def test_expiring_what_is_over_does_nothing() -> None:
    with process() as it:
        run = it.create(1)
        it.thread.work(run)
        it.thread.expire(run)
        assert it.status(run) == "completed"


def test_a_message_that_comes_while_its_run_is_wound_up_is_not_lost() -> None:
    with process(calls_take=0.05) as it:
        run = it.create(500)
        working = it.do(it.thread.work, run)
        eventually(lambda: len(it.provider.requests) > 500)
        assert it.thread.work(run) is None  # delivered once more, and acknowledged
        it.thread.expire(run)
        assert working() == "queued"
        assert it.submitted.runs == [run, run]


@pytest.mark.parametrize("ring", ["drain", "stop"])
def test_the_bell_hands_everything_back_and_refuses_what_comes(ring: str) -> None:
    with process(calls_take=0.05) as it:
        run, late = it.create(500), it.create(1)
        working = it.do(it.thread.work, run)
        eventually(lambda: it.provider.in_flight)
        getattr(it.bell, ring)()
        assert working() == "queued"
        assert it.submitted.runs == [run]
        assert it.thread.work(late) is None
        assert it.submitted.runs == [run, late]


def test_everyone_hears_the_bell_and_late_comers_too() -> None:
    bell = Bell()
    heard: list[str] = []

    async def listen(name: str) -> None:
        rung = asyncio.Event()
        bell.listen(rung.set, rung.set)
        await rung.wait()
        heard.append(name)

    early = threading.Thread(target=lambda: asyncio.run(listen("early")))
    early.start()
    bell.drain()
    early.join()
    asyncio.run(listen("late"))
    assert heard == ["early", "late"]
    bell.close()


def test_a_worker_waits_for_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "RETRY", 0.01)
    with process(failures=3) as it:
        assert it.thread.work(it.create(1)) == "completed"


def test_a_worker_that_never_began_gives_its_messages_back() -> None:
    with process(failures=10**9) as it:
        working = it.do(it.thread.work, "run")
        it.bell.drain()
        assert working() is None
        assert it.submitted.runs == ["run"]
