"""The places where a ledger can be."""

import pytest

from tests.ledger.places import Place, in_memory, in_redis


@pytest.fixture(params=["memory", "redis"])
def place(request: pytest.FixtureRequest) -> Place:
    """Each kind of ledger in turn."""
    if request.param == "memory":
        return in_memory()
    return in_redis(request.getfixturevalue("redis_url"))
