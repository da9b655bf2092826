"""Each fault of a worker or a part, with each executor, while 227 concepts are generated."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import pytest
from paceline.roadmaps.model import load_roadmap
from paceline.testing.proxy import Proxy
from paceline.testing.servers import Postgres, Valkey

from tests.support.cli_processes import Simulator, simulator
from tests.support.demo_roadmaps import ROADMAPS
from tests.support.eventually import eventually
from tests.support.soak_report import PROPERTY, Row, in_vain, missing, twice
from tests.support.worker_pair import FOUR_AT_ONCE, Fleet, a_fleet
from tests.support.worker_processes import PATIENCE, Site

LEASE = 6.0
TIMES = 3
ARTIFACTS = 3 * 227
#: Seconds of an outage.
AWAY = 2.0
#: Seconds that the whole work may take.
PATIENT = 400.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A site, its workers, and every part that can be disturbed."""

    site: Site
    fleet: Fleet
    valkey: Valkey
    postgres: Postgres
    llm: Proxy


def _away(harm: Callable[[Scene], object], heal: Callable[[Scene], object]) -> "Fault":
    """An outage of a part for some seconds."""

    def happens(scene: Scene) -> float:
        harm(scene)
        until = time.monotonic() + AWAY
        eventually(lambda: time.monotonic() >= until, PATIENCE)
        heal(scene)
        mended = time.monotonic()
        saved(scene.site, min(scene.site.count("artifacts") + 1, ARTIFACTS))
        return time.monotonic() - mended

    return happens


def _stopped(scene: Scene) -> float:
    """A worker gets SIGTERM and is replaced."""
    name, worker = scene.fleet.one()
    owned = scene.fleet.owned_by(worker.pid)
    asked = time.monotonic()
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.wait(PATIENCE) == 128 + signal.SIGTERM, scene.site.home.log(name)
    scene.fleet.replace(name)
    scene.fleet.inherited(owned)
    return time.monotonic() - asked


def _slept(scene: Scene) -> float:
    """A worker is frozen until its runs have another owner, then it wakes."""
    _, worker = scene.fleet.one()
    scene.site.freeze(worker.pid)
    frozen = time.monotonic()
    scene.fleet.inherited(scene.fleet.owned_by(worker.pid))
    taken = time.monotonic() - frozen
    os.killpg(worker.pid, signal.SIGCONT)
    return taken


def _command(*words: str) -> Callable[[Scene], object]:
    return lambda scene: scene.valkey.command(*words)


def _read_only(value: str) -> Callable[[Scene], object]:
    def change(scene: Scene) -> None:
        scene.postgres.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        scene.postgres.execute("SELECT pg_reload_conf()")

    return change


#: Causes the fault, waits for its end, and returns the seconds to recover.
Fault = Callable[[Scene], float]
FAULTS: dict[str, Fault] = {
    "SIGTERM of a worker": _stopped,
    "SIGSTOP of a worker beyond its lease": _slept,
    "Redis killed and started empty": _away(
        lambda s: s.valkey.kill(), lambda s: s.valkey.restart()
    ),
    "Redis flushed": _away(_command("FLUSHALL"), lambda _: None),
    "Redis out of memory": _away(
        _command("CONFIG", "SET", "maxmemory", "1"), _command("CONFIG", "SET", "maxmemory", "0")
    ),
    "PostgreSQL killed and started": _away(
        lambda s: s.postgres.kill(), lambda s: s.postgres.restart()
    ),
    "PostgreSQL read-only": _away(_read_only("on"), _read_only("off")),
    "LLM unreachable": _away(lambda s: s.llm.refuse(), lambda s: s.llm.heal()),
    "LLM's connections cut": _away(lambda s: s.llm.cut(), lambda _: None),
}


@pytest.fixture(scope="module")
def llm() -> Iterator[Simulator]:
    """A simulated LLM whose calls take half a second."""
    with simulator("--speed", "40") as server:
        yield server


@pytest.fixture(scope="module")
def valkey_server() -> Iterator[Valkey]:
    """A Redis that tests can kill."""
    with Valkey() as server:
        yield server


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL that tests can kill."""
    with Postgres() as server:
        yield server


@pytest.fixture
def proxy(llm: Simulator) -> Iterator[Proxy]:
    """The proxy in front of the LLM."""
    with Proxy.to(llm.base_url) as way:
        yield way


@pytest.fixture
def site_settings(proxy: Proxy, llm: Simulator) -> dict[str, str]:
    """Settings with the LLM behind the proxy and short timeouts."""
    return {
        "PACELINE_PROVIDER__BASE_URL": proxy.through(llm.base_url),
        "PACELINE_RUN__LEASE": f"{LEASE:g}",
        "PACELINE_RUN__POISON_AFTER": "100",
        "PACELINE_STORE__CONNECT_TIMEOUT": "2",
        "PACELINE_REDIS__TIMEOUT": "2",
        **FOUR_AT_ONCE,
    }


@pytest.fixture
def scene(
    site: Site, proxy: Proxy, valkey_server: Valkey, postgres_server: Postgres
) -> Iterator[Scene]:
    """Two workers at a site."""
    with a_fleet(site, random.Random(0)) as fleet:
        yield Scene(site, fleet, valkey_server, postgres_server, proxy)


def saved(site: Site, artifacts: int) -> None:
    """Wait for this number of artifacts."""
    eventually(lambda: site.count("artifacts") >= artifacts, PATIENT)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("store", ["postgresql"])
@pytest.mark.parametrize("executor", ["in-process", "celery", "arq"])
@pytest.mark.parametrize("fault", FAULTS)
def test_every_artifact_is_generated_once_whatever_fails(
    scene: Scene,
    executor: str,
    store: str,
    fault: str,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    seed: int = pytestconfig.getoption("--soak-seed") or random.SystemRandom().randrange(10**6)
    print(f"--soak-seed {seed}")  # noqa: T201 - shown where the test fails
    chance, site = random.Random(seed), scene.site
    scene.fleet.chance = chance
    in_flight, seconds = 0, list[float]()
    scene.fleet.ready()
    site.submit(*map(load_roadmap, ROADMAPS), new=True)
    for time_of in range(1, TIMES + 1):
        # At a random instant of each quarter of the work.
        saved(site, max(1, int((time_of - chance.random()) * ARTIFACTS / (TIMES + 1))))
        in_flight += site.llm.figures()["in_flight"]
        seconds.append(FAULTS[fault](scene))
    eventually(lambda: site.count("runs", "finished_at IS NULL") == 0, PATIENT)
    eventually(lambda: site.llm.figures()["in_flight"] == 0, PATIENCE)
    row = Row(
        fault=fault,
        executor=executor,
        store=store,
        times=TIMES,
        runs=site.count("runs"),
        lost=missing(site, ARTIFACTS),
        duplicated=twice(site),
        paid_twice=site.llm.figures()["paid_again"],
        in_flight=in_flight,
        in_vain=in_vain(site),
        seconds=tuple(seconds),
        seed=seed,
    )
    record_property(PROPERTY, asdict(row))
    assert site.count("runs", "status <> 'completed'") == 0
    assert site.count("concepts", "status <> 'completed'") == 0
    assert (row.lost, row.duplicated) == (0, 0)
    assert row.paid_twice <= row.in_flight + row.in_vain
    eventually(lambda: site.permits() == 0, LEASE + 10)
