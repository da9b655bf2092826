"""Executors, stores, lease and size of the runs in these tests."""

from collections.abc import Iterator

import pytest

from tests.support.cli_processes import Simulator, simulator

#: Seconds of a lease, concepts of a run, and the limit of concepts at the same time.
LEASE, CONCEPTS, LIMIT = 2.0, 12, 3

_ALL = [
    ("in-process", "sqlite"),
    ("in-process", "postgresql"),
    ("celery", "postgresql"),
    ("arq", "postgresql"),
]


def combinations(*quick: str) -> pytest.MarkDecorator:
    """All executors and stores; the combinations that are not named run only in the long suites."""
    return pytest.mark.parametrize(
        ("executor", "store"),
        [
            pytest.param(*one, marks=[pytest.mark.soak] * ("-".join(one) not in quick))
            for one in _ALL
        ],
    )


@pytest.fixture(scope="module")
def llm() -> Iterator[Simulator]:
    """A simulated LLM that makes a run take some seconds."""
    with simulator("--speed", "50") as server:
        yield server


@pytest.fixture
def site_settings() -> dict[str, str]:
    """Settings with a short lease and few concepts at the same time."""
    return {
        "PACELINE_RUN__LEASE": f"{LEASE:g}",
        "PACELINE_STRATEGIES__PER_ROADMAP__LIMIT": str(LIMIT),
        "PACELINE_EXECUTORS__CELERY__CONCURRENCY": "1",
    }
