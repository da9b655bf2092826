"""Workers are killed between saves and deliveries: every version arrives, in order."""

import os
import random
import signal
from collections.abc import Iterator

import pytest

from tests.faults.conftest import combinations
from tests.support.eventually import eventually
from tests.support.memory_worker import a_roadmap
from tests.support.sink_site import check_received, revise_all
from tests.support.webhook_receiver import SECRET, Received, receiver
from tests.support.worker_pair import FOUR_AT_ONCE, a_fleet
from tests.support.worker_processes import PATIENCE, Site

CONCEPTS = 8
#: Kills until there is new work.
KILLS_PER_ROUND = 5


@pytest.fixture
def received(site: Site) -> Iterator[Received]:
    """A receiver that the workers of the site deliver to."""
    with receiver() as it:
        it.slow = 0.02
        site.home.environment |= {
            "PACELINE_SINKS__HOOK__USE": "webhook",
            "PACELINE_SINKS__HOOK__URL": it.url,
            "PACELINE_SINKS__HOOK__SECRET": SECRET,
            # A killed worker's batch is delivered again after six seconds.
            "PACELINE_SINKS__HOOK__TIMEOUT": "3",
            "PACELINE_RUN__POISON_AFTER": "100",
            **FOUR_AT_ONCE,
        }
        yield it


def kill_and_check(site: Site, received: Received, *, kills: int, seed: int) -> tuple[int, int]:
    """Kill workers at random instants until all is delivered.

    Returns:
        Number of kills, and of repeated deliveries.
    """
    with a_fleet(site, random.Random(seed)) as fleet:
        while fleet.deaths.kills < kills:
            site.submit(a_roadmap(CONCEPTS), new=True)
            for _ in range(min(KILLS_PER_ROUND, kills - fleet.deaths.kills)):
                fleet.kill()
                revise_all(site)
            eventually(lambda: site.count("runs", "finished_at IS NULL") == 0, PATIENCE)
        eventually(lambda: site.count("outbox") == 0, PATIENCE)
    return fleet.deaths.kills, check_received(site, received)


@combinations("in-process-sqlite", "celery-postgresql", "arq-postgresql")
def test_workers_killed_before_and_after_the_answer_lose_nothing(
    site: Site, received: Received
) -> None:
    received.hang = "before"
    with site.worker() as worker:
        site.submit(a_roadmap(CONCEPTS))
        eventually(lambda: received.hanging > 0, PATIENCE)
        os.killpg(worker.pid, signal.SIGKILL)
    received.hang, received.hanging = "after", 0
    with site.worker() as worker:
        # Only after it owns the run: a queue is slow to notice that it lost a message.
        eventually(lambda: site.sql("SELECT fence FROM runs") == "2", PATIENCE)
        eventually(lambda: received.hanging > 0, PATIENCE)
        os.killpg(worker.pid, signal.SIGKILL)
    received.hang, seen = "", set(received.ids())
    with site.worker():
        eventually(lambda: site.count("runs", "status = 'completed'") == 1, PATIENCE)
        revise_all(site)
        eventually(lambda: site.count("outbox") == 0, PATIENCE)
    assert site.count("artifacts") == 3 * CONCEPTS
    assert check_received(site, received) >= len(seen) > 0


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("executor", ["in-process", "celery", "arq"])
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_every_version_arrives_whichever_worker_is_killed_at_any_time(
    site: Site,
    received: Received,
    executor: str,
    store: str,
    pytestconfig: pytest.Config,
) -> None:
    seed = pytestconfig.getoption("--soak-seed")
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    print(f"--soak-seed {seed}")  # noqa: T201 - shown where the test fails
    wanted: int = pytestconfig.getoption("--kills")
    kills, repeated = kill_and_check(site, received, kills=wanted, seed=seed)
    assert kills == wanted
    print(f"{kills} kills, {len(received.messages)} deliveries, {repeated} repeated")  # noqa: T201
