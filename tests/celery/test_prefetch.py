"""How the prefetch multiplier distributes messages while the first tasks run."""

from contextlib import ExitStack

import pytest

from tests.celery.test_workers import a_worker
from tests.support.celery_home import Rig, a_roadmap
from tests.support.cli_processes import simulator
from tests.support.eventually import eventually

Table = list[tuple[int, int]]


@pytest.mark.soak
@pytest.mark.parametrize(
    ("multiplier", "table", "waiting"),
    [
        # Eight tasks: two workers reserve them all, and the third worker is idle.
        pytest.param(4, [(0, 0), (1, 3), (1, 3)], 0, marks=pytest.mark.soak),
        # Each worker takes one task. The first one to finish takes the next.
        (1, [(1, 0), (1, 0), (1, 0)], 5),
    ],
)
def test_a_multiplier_above_one_reserves_tasks_that_idle_workers_could_run(
    rig: Rig, multiplier: int, table: Table, waiting: int
) -> None:
    rig.home.environment["PACELINE_RUN__GRACE"] = "0.1"
    with simulator("--speed", "0.1") as slow, ExitStack() as workers:
        rig.home.environment["PACELINE_PROVIDER__BASE_URL"] = slow.base_url
        runs = rig.submit(*(a_roadmap(f"r{number}", 1) for number in range(8)))
        for number in range(3):
            workers.enter_context(
                a_worker(
                    rig,
                    f"worker{number}",
                    pool="threads",
                    concurrency=1,
                    prefetch_multiplier=multiplier,
                )
            )

        def loads() -> bool:
            seen = rig.inspect()
            held = [run for load in seen for run in (*load.active, *load.reserved)]
            assert set(held) <= set(runs)
            assert len(held) == len(set(held))
            assert sorted((len(load.active), len(load.reserved)) for load in seen) == table
            assert [load.concurrency for load in seen] == [1, 1, 1]
            return rig.queued() == waiting

        eventually(loads, 30)
