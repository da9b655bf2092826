"""What all tests share."""

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["paceline.testing.plugin"]

# What a test may depend on is a count, never how busy the machine is.
settings.register_profile("paceline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("paceline")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the long suites."""
    group = parser.getgroup("soak")
    group.addoption("--kills", type=int, default=100, help="kill -9 per executor and store")
    group.addoption("--soak-seed", type=int, default=None, help="draw the same instants again")
    group.addoption("--soak-folder", default=".soak", help="where the tables are written")
