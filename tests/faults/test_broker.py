"""A broker fails and recovers while its workers live: every run is completed."""

from collections.abc import Callable, Iterator

import pytest
from paceline.testing.proxy import Proxy
from paceline.testing.servers import Valkey

from tests.faults.conftest import CONCEPTS, LIMIT
from tests.support.eventually import eventually
from tests.support.memory_worker import a_roadmap
from tests.support.worker_processes import PATIENCE, Site

#: Faults of the broker or its proxy: how each is caused and undone.
FAULTS: dict[str, tuple[Callable[[Valkey, Proxy], None], Callable[[Valkey, Proxy], None]]] = {
    "restarted": (lambda server, _: server.kill(), lambda server, _: server.restart()),
    "unreachable": (lambda _, proxy: proxy.black_hole(), lambda _, proxy: proxy.heal()),
    "full": (lambda server, _: _most(server, "1"), lambda server, _: _most(server, "0")),
}


def _most(server: Valkey, memory: str) -> None:
    server.command("CONFIG", "SET", "maxmemory", memory)


@pytest.fixture(scope="module")
def valkey_server() -> Iterator[Valkey]:
    """A server that tests can kill."""
    with Valkey() as server:
        yield server


@pytest.fixture
def proxy(valkey_server: Valkey) -> Iterator[Proxy]:
    """The proxy in front of the broker."""
    with Proxy.to(valkey_server.url) as way:
        yield way


@pytest.fixture
def site_settings(proxy: Proxy, valkey_server: Valkey) -> dict[str, str]:
    """Settings with the broker behind the proxy and one run per worker."""
    return {
        "PACELINE_REDIS__URL": proxy.through(valkey_server.url),
        "PACELINE_REDIS__TIMEOUT": "2",
        "PACELINE_STRATEGY": "per-roadmap",
        "PACELINE_STRATEGIES__PER_ROADMAP__LIMIT": str(LIMIT),
        "PACELINE_EXECUTORS__CELERY__CONCURRENCY": "1",
        "PACELINE_EXECUTORS__ARQ__MAX_JOBS": "1",
    }


@pytest.mark.soak
@pytest.mark.parametrize("store", ["postgresql"])
@pytest.mark.parametrize("executor", ["celery", "arq"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_broker_outage_delays_neither_the_current_run_nor_the_next(
    site: Site, proxy: Proxy, valkey_server: Valkey, fault: str
) -> None:
    harm, heal = FAULTS[fault]
    with site.worker() as worker:
        site.submit(a_roadmap(CONCEPTS, "first"), a_roadmap(CONCEPTS, "second"))
        eventually(lambda: site.count("artifacts") >= LIMIT, PATIENCE)
        harm(valkey_server, proxy)
        before = site.count("artifacts")
        eventually(lambda: site.count("artifacts") >= before + LIMIT, PATIENCE)
        heal(valkey_server, proxy)
        eventually(lambda: site.count("runs", "status = 'completed'") == 2, 2 * PATIENCE)
        assert worker.poll() is None
    assert site.count("artifacts") == 2 * 3 * CONCEPTS
    assert site.llm.figures()["paid_again"] == 0
