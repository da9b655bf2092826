"""Redis as hosters set it up: users with few permissions, and cluster mode."""

from collections.abc import Iterator
from contextlib import contextmanager

from paceline.testing.servers import Valkey

from tests.support.eventually import eventually

_PASSWORD = "hidden-p4ssword"
#: The rules of docs/environments.md for a prefix.
RULES = "~{prefix}:* &{prefix}:* +@all -@dangerous"
#: In place of them, for Celery.
CELERY_RULES = "~{prefix}:* &* +@all -@dangerous"
#: In addition to them, for arq.
ARQ_RULES = "~arq:*:{prefix}:*"


@contextmanager
def redis_for(rules: str) -> Iterator[Valkey]:
    """A server with a user ``hosted`` that has these rules only; see ``hosted_url``."""
    with Valkey(settings={"user": f"hosted on >{_PASSWORD} {rules}"}) as server:
        yield server


def hosted_url(server: Valkey) -> str:
    """The URL for the user with few permissions."""
    return f"redis://hosted:{_PASSWORD}@127.0.0.1:{server.port}/0"


@contextmanager
def redis_cluster() -> Iterator[Valkey]:
    """A cluster of one node, which has all slots."""
    with Valkey(settings={"cluster-enabled": "yes"}) as server:
        server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        eventually(lambda: server.command("CLUSTER", "INFO") == "cluster_state:ok")
        yield server
