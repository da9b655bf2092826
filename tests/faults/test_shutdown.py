"""Workers that are told to stop: in time, by any number of signals, with the right exit code."""

import os
import signal
import time

from tests.faults.conftest import CONCEPTS, LIMIT, combinations
from tests.support.cli_processes import simulator
from tests.support.eventually import eventually
from tests.support.memory_worker import a_roadmap
from tests.support.worker_processes import PATIENCE, Site


@combinations("celery-postgresql")
def test_a_storm_of_signals_on_all_its_processes_leaves_the_run_resumable(site: Site) -> None:
    with site.worker() as worker:
        site.submit(a_roadmap(CONCEPTS))
        eventually(lambda: site.count("artifacts") >= LIMIT, PATIENCE)
        for _ in range(20):
            os.killpg(worker.pid, signal.SIGTERM)  # parent and children at once
        assert worker.wait(PATIENCE) == 143
    assert site.sql("SELECT status FROM runs") == "queued"
    assert site.count("workers") == 0
    assert site.llm.figures()["paid_again"] == 0
    with site.worker():
        eventually(lambda: site.sql("SELECT status FROM runs") == "completed", PATIENCE)
    assert site.count("artifacts") == 3 * CONCEPTS
    # The second signal stopped what was in flight.
    assert site.llm.figures()["paid_again"] <= LIMIT


@combinations("in-process-sqlite")
def test_calls_that_do_not_end_are_given_up_when_the_grace_is_over(site: Site) -> None:
    with simulator("--latency", "tutorial=600-601") as endless:
        site.home.environment |= {
            "PACELINE_PROVIDER__BASE_URL": endless.base_url,
            "PACELINE_RUN__GRACE": "1",
        }
        with site.worker() as worker:
            site.submit(a_roadmap(CONCEPTS))
            eventually(lambda: endless.figures()["in_flight"] == LIMIT, PATIENCE)
            told = time.monotonic()
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(PATIENCE) == 143
            # Without the setting it would be 25 seconds; with none at all, ten minutes.
            assert 1 <= time.monotonic() - told < 20
        assert site.sql("SELECT status FROM runs") == "queued"
        assert eventually(lambda: endless.figures()["in_flight"] == 0, PATIENCE)
