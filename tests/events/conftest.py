"""The places where a bus can be."""

import pytest

from tests.events.places import Place, in_memory, in_redis


@pytest.fixture(params=["memory", "redis"])
def place(request: pytest.FixtureRequest) -> Place:
    """Each kind of bus in turn."""
    if request.param == "memory":
        return in_memory()
    return in_redis(request.getfixturevalue("redis_url"))
