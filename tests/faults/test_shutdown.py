"""Workers that are asked to stop: in time, by any number of signals, with the right exit code."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.conftest import CONCEPTS, LIMIT, combinations
from tests.support.cli_processes import simulator
from tests.support.eventually import eventually
from tests.support.memory_worker import a_roadmap
from tests.support.worker_processes import PATIENCE, Site


def check_storm_of_signals(site: Site) -> None:
    """Send 20 SIGTERMs to all processes of a worker: it hands its run back before it exits."""
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
    # The second signal stopped the calls in flight.
    assert site.llm.figures()["paid_again"] <= LIMIT


@combinations("celery-postgresql")
def test_a_storm_of_signals_on_all_its_processes_leaves_the_run_resumable(site: Site) -> None:
    check_storm_of_signals(site)


@contextmanager
def hangups(action: signal.Handlers) -> Iterator[None]:
    """Start processes with this action for SIGHUP, whatever the tests were started with."""
    before = signal.signal(signal.SIGHUP, action)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@combinations("celery-postgresql")
def test_a_closed_terminal_loses_no_call_in_flight(site: Site) -> None:
    with hangups(signal.SIG_DFL), site.worker() as worker:
        site.submit(a_roadmap(CONCEPTS))
        eventually(lambda: site.count("artifacts") >= LIMIT, PATIENCE)
        os.killpg(worker.pid, signal.SIGHUP)
        assert worker.wait(PATIENCE) == 129
    assert site.sql("SELECT status FROM runs") == "queued"
    assert site.count("workers") == 0
    assert site.count("artifacts") == site.llm.figures()["paid"]


@combinations("in-process-sqlite")
def test_a_worker_started_with_nohup_outlives_its_terminal(site: Site) -> None:
    with hangups(signal.SIG_IGN), site.worker() as worker:
        site.submit(a_roadmap(CONCEPTS))
        eventually(lambda: site.count("artifacts") >= LIMIT, PATIENCE)
        os.killpg(worker.pid, signal.SIGHUP)
        eventually(lambda: site.sql("SELECT status FROM runs") == "completed", PATIENCE)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE) == 143
    assert site.llm.figures()["paid_again"] == 0


@pytest.mark.soak
@pytest.mark.parametrize(("executor", "store"), [("celery", "postgresql")])
def test_a_storm_of_signals_on_a_pool_of_threads_leaves_the_run_resumable(site: Site) -> None:
    site.home.environment["PACELINE_EXECUTORS__CELERY__POOL"] = "threads"
    check_storm_of_signals(site)


@combinations("in-process-sqlite")
def test_calls_that_do_not_end_are_stopped_after_the_grace_period(site: Site) -> None:
    with simulator("--latency", "tutorial=600-601") as endless:
        site.home.environment |= {
            "PACELINE_PROVIDER__BASE_URL": endless.base_url,
            "PACELINE_RUN__GRACE": "1",
        }
        with site.worker() as worker:
            site.submit(a_roadmap(CONCEPTS))
            eventually(lambda: endless.figures()["in_flight"] == LIMIT, PATIENCE)
            signalled = time.monotonic()
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(PATIENCE) == 143
            # The default grace is 25 seconds. Without any, the calls would take ten minutes.
            assert 1 <= time.monotonic() - signalled < 20
        assert site.sql("SELECT status FROM runs") == "queued"
        assert eventually(lambda: endless.figures()["in_flight"] == 0, PATIENCE)
