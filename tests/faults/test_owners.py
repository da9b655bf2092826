"""One owner per run, with real processes: delivered twice, frozen past the lease, killed."""

import os
import signal
import time

from tests.faults.conftest import CONCEPTS, LEASE, LIMIT, combinations
from tests.support.eventually import eventually
from tests.support.memory_worker import a_roadmap
from tests.support.worker_processes import PATIENCE, Site, in_order


def complete(site: Site, run_id: str, *, owners: int) -> None:
    """Check that the run is complete and that only calls in flight at a loss were paid twice."""
    eventually(lambda: site.sql("SELECT status FROM runs") == "completed", PATIENCE)
    assert int(site.sql("SELECT fence FROM runs")) == owners
    assert site.count("artifacts") == 3 * CONCEPTS
    assert site.count("concepts", "status = 'completed'") == CONCEPTS
    assert site.llm.figures()["paid_again"] <= (owners - 1) * LIMIT
    assert eventually(lambda: in_order(site.events(run_id)), PATIENCE)
    eventually(lambda: site.permits() == 0, PATIENCE)


@combinations("in-process-sqlite")
def test_an_owner_frozen_past_its_lease_writes_nothing_more(site: Site) -> None:
    with site.worker() as sleeper:
        (run_id,) = site.submit(a_roadmap(CONCEPTS))
        eventually(lambda: site.count("artifacts") >= LIMIT, PATIENCE)
        # The answers to its calls arrive before it wakes.
        site.freeze(sleeper.pid, in_call=True)
        with site.worker():
            eventually(lambda: site.sql("SELECT fence FROM runs") == "2", PATIENCE)
            begun = site.count("artifacts")
            eventually(lambda: site.count("artifacts") > begun, PATIENCE)
            os.killpg(sleeper.pid, signal.SIGCONT)
            complete(site, run_id, owners=2)
        # It lost only this run: it also works on the next one.
        site.submit(a_roadmap(1, "next"))
        eventually(lambda: site.count("runs", "status = 'completed'") == 2, PATIENCE)
        assert sleeper.poll() is None


@combinations("celery-postgresql")
def test_a_run_delivered_to_two_workers_has_one_owner_and_the_other_takes_it_over_later(
    site: Site,
) -> None:
    with site.worker(), site.worker():
        (run_id,) = site.submit(a_roadmap(CONCEPTS), times=5)
        eventually(lambda: site.count("artifacts") >= LIMIT, PATIENCE)
        assert site.sql("SELECT fence FROM runs") == "1"
        assert site.llm.figures()["prompts_paid_twice"] == 0
        group = site.group_of_owner(run_id)
        # As if it ran on another machine, so its death cannot be seen here.
        site.sql("UPDATE workers SET host = 'elsewhere'")
        killed = time.monotonic()
        os.killpg(group, signal.SIGKILL)
        eventually(lambda: site.sql("SELECT fence FROM runs") == "2", PATIENCE)
        # Each worker checks every six seconds; the rest is for a busy machine.
        assert time.monotonic() - killed <= LEASE + 6 + 10
        complete(site, run_id, owners=2)


@combinations("in-process-postgresql")
def test_a_dead_owner_on_the_same_host_is_replaced_before_its_lease_ends(site: Site) -> None:
    site.home.environment["PACELINE_RUN__LEASE"] = "600"
    with site.worker(), site.worker():
        (run_id,) = site.submit(a_roadmap(CONCEPTS))
        eventually(lambda: site.count("artifacts") >= LIMIT, PATIENCE)
        os.killpg(site.group_of_owner(run_id), signal.SIGKILL)
        eventually(lambda: site.sql("SELECT status FROM runs") == "completed", PATIENCE)
        assert site.count("artifacts") == 3 * CONCEPTS
        assert site.llm.figures()["paid_again"] <= LIMIT
