"""The cluster status combines the reports of the workers with those of the queue."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from paceline import Executor, PacelineError, WorkerLoad
from paceline.client.cluster_status import ClusterStatus, cluster_status
from paceline.contracts.identity import this_process
from paceline.contracts.storage.records import Figures, WorkerRecord
from paceline.errors import PartUnavailable
from paceline_adapters.memory.store import MemoryStore

from tests.support.memory_worker import a_roadmap


class Queue(Executor):
    """A queue with workers that hold the given runs."""

    def __init__(
        self, *loads: WorkerLoad, queued: int | None = None, fault: PacelineError | None = None
    ) -> None:
        self._loads, self._queued, self._fault = loads, queued, fault

    async def submit(self, run_id: str) -> None: ...

    async def inspect(self) -> Sequence[WorkerLoad]:
        if self._fault is not None:
            raise self._fault
        return self._loads

    async def queued(self) -> int | None:
        return self._queued

    def serve(self, *, concurrency: int | None = None) -> int:
        return 0


def load(name: str, active: Sequence[str] = (), reserved: Sequence[str] = ()) -> WorkerLoad:
    return WorkerLoad(name=name, active=tuple(active), reserved=tuple(reserved), concurrency=4)


def look(
    queue: Executor | None, *workers: tuple[str, Sequence[str]], runs: int = 0
) -> ClusterStatus:
    """The overview of a store with these workers and their runs, and so many queued runs."""

    async def whole() -> ClusterStatus:
        store = MemoryStore()
        await store.open()
        for number in range(runs):
            await store.create_run(a_roadmap(2, f"r{number}"), executor="queue")
        for name, active in workers:
            figures = Figures(
                runs=tuple(active), concepts=10 * len(active), calls=7, strategy="unbounded"
            )
            await store.register(
                WorkerRecord(
                    worker_id=name,
                    identity=this_process(),
                    executor="queue",
                    concurrency=1,
                    pool_max=5,
                    figures=figures,
                )
            )
        return await cluster_status(store, queue)

    run: Callable[[Coroutine[Any, Any, ClusterStatus]], ClusterStatus] = asyncio.run
    return run(whole())


def test_prefetched_runs_are_shown_beside_the_current_ones() -> None:
    queue = Queue(load("a@h", ["r1"], ["r5"]), load("b@h", ["r2", "r3"], ["r6", "r7"]))
    view = look(queue, ("w1", ["r1"]), ("w2", ["r2"]), ("w3", ["r3"]))
    assert [worker.reserved for worker in view.workers] == [("r5",), ("r6", "r7"), ()]
    assert view.totals.roadmaps_reserved == 3
    assert "Workers have prefetched 3 roadmaps that they have not started." in view.why()


def test_a_worker_known_only_to_the_queue_has_its_own_row() -> None:
    view = look(Queue(load("celery@far", ["r1"], ["r2"]), load("idle@far")), ("w", ["r9"]))
    assert [worker.worker_id for worker in view.workers] == ["w", "celery@far"]
    far = view.workers[1]
    assert (far.host, far.pid, far.beat_age, far.active) == ("far", None, None, ("r1",))
    assert view.totals.roadmaps_active == 2


def test_the_queues_own_length_is_used_if_it_is_known() -> None:
    assert look(Queue(queued=7), runs=3).totals.roadmaps_queued == 7
    assert look(Queue(), runs=3).totals.roadmaps_queued == 3
    assert look(None, runs=3).totals.roadmaps_queued == 3


def test_a_reserved_run_is_not_counted_as_waiting_in_the_queue_too() -> None:
    view = look(Queue(load("a@h", ["x"], ["y"])), ("w", ["x"]), runs=3)
    assert (view.totals.roadmaps_queued, view.totals.roadmaps_reserved) == (2, 1)


def test_an_unreachable_queue_is_named_and_the_rest_is_shown() -> None:
    view = look(Queue(fault=PartUnavailable("no broker at h:1")), ("w", ["r"]), runs=1)
    assert view.unreachable == ("no broker at h:1",)
    assert (view.totals.concepts, view.totals.roadmaps_queued) == (10, 1)


def test_the_reason_names_both_layers() -> None:
    why = look(Queue(), ("w", ["r1", "r2"])).why()
    assert "2 roadmaps active (concurrency 1 counts roadmaps, not concepts)" in why
    assert (
        "The strategy (unbounded) decides how many of their concepts start: "
        "20 concepts in flight, 7" in why
    )
    assert "This is not prefetching: workers have reserved 0 roadmaps." in why
    assert "1 worker idle; 2 roadmaps waiting." in look(Queue(), ("w", []), runs=2).why()
