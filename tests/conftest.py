"""Options and fixtures for all tests."""

import signal
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from paceline.process.garbage import collect_rarely

collect_rarely()  # a full collection visits every module that a test imported

# A shell that starts `make test &` makes it ignore Ctrl-C, and every process that a test starts
# would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# The same for `nohup make test` and a closed terminal.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Failed asserts in the helpers show their values, like those in tests.
pytest.register_assert_rewrite("tests.support")

pytest_plugins = [
    "paceline.testing.plugin",
    "tests.support.worker_processes",
    "tests.support.pgbouncer",
]

# A test may depend on counts, but never on the load of the machine.
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
    """A loopback port that refuses connections while the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
