"""A site for tests with worker processes: one executor on one store."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from paceline.testing.servers import Postgres, Valkey

from tests.faults.site import Site, a_site
from tests.processes import Simulator, simulator

#: Seconds of a lease, concepts of a run, and how many of them may be at work.
LEASE, CONCEPTS, LIMIT = 2.0, 12, 3

_ALL = [
    ("in-process", "sqlite"),
    ("in-process", "postgresql"),
    ("celery", "postgresql"),
    ("arq", "postgresql"),
]


def combinations(*quick: str) -> pytest.MarkDecorator:
    """All executors and stores; those that are not named run with the long suites."""
    return pytest.mark.parametrize(
        ("executor", "store"),
        [
            pytest.param(*one, marks=[pytest.mark.soak] * ("-".join(one) not in quick))
            for one in _ALL
        ],
    )


@pytest.fixture(scope="module")
def llm() -> Iterator[Simulator]:
    """A simulated LLM with which a run takes some seconds."""
    with simulator("--speed", "50") as server:
        yield server


@pytest.fixture
def site(
    executor: str,
    store: str,
    tmp_path: Path,
    llm: Simulator,
    valkey_server: Valkey,
    postgres_server: Postgres,
) -> Iterator[Site]:
    """A site with nothing in it."""
    more = {
        "PACELINE_RUN__LEASE": f"{LEASE:g}",
        "PACELINE_STRATEGIES__PER_ROADMAP__LIMIT": str(LIMIT),
        "PACELINE_EXECUTORS__CELERY__CONCURRENCY": "1",
    }
    with a_site(
        tmp_path,
        executor,
        store,
        llm=llm,
        valkey=valkey_server,
        postgres=postgres_server,
        more=more,
    ) as it:
        yield it
