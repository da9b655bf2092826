"""The cluster status combines the reports of the workers with those of the queue."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from paceline import Executor, PacelineError, WorkerLoad
from paceline.client.cluster_status import ClusterStatus, cluster_status
from paceline.contracts.admission.limit_figures import LimitFigures, summed_up
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
    assert "2 roadmaps are running, and workers take up to 1 at once." in why
    assert "20 concepts are in flight, 7" in why
    assert why.endswith("No limit holds concepts or calls back.")
    assert "1 worker idle; 2 roadmaps waiting." in look(Queue(), ("w", []), runs=2).why()


def test_limits_are_summed_up_over_workers() -> None:
    shared = LimitFigures(
        strategy="global", key="openai:m", unit="calls", used=60, quota=64, waiting=3, shared=True
    )
    own = LimitFigures(strategy="per-roadmap", key="", unit="concepts", used=5, quota=10, waiting=1)
    one, two = summed_up(
        [shared, own, replace(shared, used=64, waiting=4, refused=2, reason="full"), own]
    )
    assert (one.used, one.quota, one.waiting, one.refused, one.reason) == (64, 64, 7, 2, "full")
    assert (two.used, two.quota, two.waiting) == (10, 20, 2)


def test_the_reason_names_the_limit_that_is_reached() -> None:
    full = LimitFigures(
        strategy="global", key="openai:m", unit="calls", used=64, quota=64, waiting=163, shared=True
    )
    view = replace(look(Queue(), ("w", ["r1", "r2"])), limits=[full])
    assert view.why().endswith("; 163 wait for the limit global of openai:m (64 of 64 calls)."), (
        view.why()
    )
    free = replace(full, used=3, waiting=0)
    assert replace(view, limits=[free]).why().endswith("No limit is reached.")


def test_a_limit_that_one_of_several_roadmaps_has_reached_is_named() -> None:
    each = LimitFigures(
        strategy="per-roadmap", key="", unit="concepts", used=24, quota=40, waiting=6
    )
    view = replace(look(Queue(), ("w", ["r1", "r2"])), limits=[each])
    assert view.why().endswith(
        "; 6 wait for the limit per-roadmap (24 of 40 concepts over all roadmaps)."
    ), view.why()
