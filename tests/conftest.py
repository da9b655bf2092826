"""What all tests share."""

import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# Asserts of the helpers show their values, as those of the tests do.
pytest.register_assert_rewrite("tests.support")

pytest_plugins = ["paceline.testing.plugin", "tests.support.worker_processes"]

# What a test may depend on is a count, never how busy the machine is.
settings.register_profile("paceline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("paceline")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the long suites."""
    group = parser.getgroup("soak")
    group.addoption("--kills", type=int, default=100, help="kill -9 per executor and store")
    group.addoption("--soak-seed", type=int, default=None, help="draw the same instants again")
    group.addoption("--soak-folder", default=".soak", help="where the tables are written")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of the loopback that refuses connections as long as the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
