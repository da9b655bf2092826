"""`kill -9` at random instants for each executor and store: all counts are exact afterwards."""

import random
from collections.abc import Callable, Iterator
from dataclasses import asdict

import pytest
from paceline.roadmaps.model import Roadmap, load_roadmap

from tests.support.cli_processes import Simulator, simulator
from tests.support.demo_roadmaps import ROADMAPS
from tests.support.eventually import eventually
from tests.support.soak_report import PROPERTY, Row, in_vain, missing, twice
from tests.support.worker_pair import FOUR_AT_ONCE, Fleet, a_fleet
from tests.support.worker_processes import PATIENCE, Site

LEASE = 2.0
CONCEPTS = 227
#: Kills until the workload starts again, so that there is always work to interrupt.
KILLS_PER_ROUND = 8
#: Seconds that a round may take to end after the last kill.
ROUND = 300.0


@pytest.fixture(scope="module")
def workload() -> list[Roadmap]:
    """The eight example roadmaps."""
    roadmaps = [load_roadmap(path) for path in ROADMAPS]
    assert sum(roadmap.concept_count() for roadmap in roadmaps) == CONCEPTS
    return roadmaps


@pytest.fixture(scope="module")
def llm() -> Iterator[Simulator]:
    """A simulated LLM whose calls take about a second."""
    with simulator("--speed", "20") as server:
        yield server


@pytest.fixture
def site_settings() -> dict[str, str]:
    """A short lease, and workers with half of the work each."""
    return {
        "PACELINE_RUN__LEASE": f"{LEASE:g}",
        # No worker dies because of a run, so a run may lose any number of owners.
        "PACELINE_RUN__POISON_AFTER": "100",
        "PACELINE_RUN__GRACE": "0.1",
        **FOUR_AT_ONCE,
    }


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("executor", "store"),
    [
        ("in-process", "sqlite"),
        ("in-process", "postgresql"),
        ("celery", "sqlite"),
        ("celery", "postgresql"),
        ("arq", "sqlite"),
        ("arq", "postgresql"),
    ],
)
def test_every_artifact_is_generated_once_whichever_process_is_killed_at_any_time(
    site: Site,
    executor: str,
    store: str,
    workload: list[Roadmap],
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    seed = pytestconfig.getoption("--soak-seed")
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    kills: int = pytestconfig.getoption("--kills")
    print(f"--soak-seed {seed}")  # noqa: T201 - shown where the test fails
    paid_twice = 0
    with a_fleet(site, random.Random(seed)) as fleet:
        while fleet.deaths.kills < kills:
            site.submit(*workload, new=True)
            paid_twice += a_round(site, fleet, min(KILLS_PER_ROUND, kills - fleet.deaths.kills))
    runs = site.count("runs")
    row = Row(
        fault="kill -9 of a worker",
        executor=executor,
        store=store,
        times=fleet.deaths.kills,
        runs=runs,
        lost=missing(site, runs // len(workload) * CONCEPTS * 3),
        duplicated=twice(site),
        paid_twice=paid_twice,
        in_flight=fleet.deaths.in_flight,
        in_vain=in_vain(site),
        seconds=tuple(fleet.deaths.seconds),
        seed=seed,
    )
    record_property(PROPERTY, asdict(row))
    assert site.count("runs", "status <> 'completed'") == 0
    assert site.count("concepts", "status <> 'completed'") == 0
    assert (row.lost, row.duplicated) == (0, 0)
    assert row.paid_twice <= row.in_flight + row.in_vain
    eventually(lambda: site.permits() == 0, LEASE + 10)


def a_round(site: Site, fleet: Fleet, kills: int) -> int:
    """Run the workload with this number of kills; return the calls that were paid again."""
    for _ in range(kills):
        # Kill only while there is work to lose.
        if site.count("runs", "finished_at IS NULL") == 0:
            break
        fleet.kill()
    try:
        eventually(lambda: site.count("runs", "finished_at IS NULL") == 0, ROUND)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{state(site)}") from None
    eventually(lambda: site.llm.figures()["in_flight"] == 0, PATIENCE)
    paid_again: int = site.llm.figures()["paid_again"]
    site.llm.reset()
    return paid_again


def state(site: Site) -> str:
    """What may explain runs that do not end."""
    names = "run_id, status, fence, owner, lease_until, takeovers, reason"
    logs = sorted(site.home.folder.glob("worker*.log"), key=lambda path: path.stat().st_mtime)
    tails = [f"{path.name}:\n{path.read_text()[-1500:]}" for path in logs[-3:]]
    return "\n".join(
        [
            site.sql(f"SELECT {names} FROM runs WHERE finished_at IS NULL"),
            site.sql("SELECT worker_id, pid, beat_at FROM workers"),
            f"now {site.sql('SELECT CURRENT_TIMESTAMP')}",
            f"the broker has {site.redis.dbsize()} keys",
            *tails,
        ]
    )
