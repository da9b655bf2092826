"""Ledgers over Redis, and limiters that use them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from paceline.admission import SharedLimiter
from paceline.contracts.admission.ledger import LeaseRequest, Ledger, Quota
from paceline.contracts.admission.work import Work
from paceline.settings.model import RedisSettings
from paceline_adapters.redis.connection import Link
from paceline_adapters.redis.ledger import RedisLedger
from pydantic import SecretStr

#: A call of some run.
WORK = Work(level="call", run_id="run", roadmap_id="roadmap", concept_id="concept", key="model")


def link_to(url: str, *, connections: int = 4, timeout: float = 5.0) -> Link:
    """Connections like those of a process."""
    return Link(RedisSettings(url=SecretStr(url), timeout=timeout), connections=connections)


def redis_ledger(url: str, *, lease: float = 30.0, settle_in: float = 0.0) -> RedisLedger:
    """The ledger of one more process."""
    return RedisLedger(link_to(url), prefix="test", lease_seconds=lease, settle_in=settle_in)


@asynccontextmanager
async def redis_ledgers(
    url: str, count: int, *, lease: float = 30.0
) -> AsyncIterator[list[RedisLedger]]:
    """The ledgers of this number of processes, closed at the end."""
    made = [redis_ledger(url, lease=lease) for _ in range(count)]
    try:
        yield made
    finally:
        for ledger in made:
            await ledger.close()


def limiter_over(ledger: Ledger, concurrency: int, *, holder: str | None = None) -> SharedLimiter:
    """One more process that uses the limit."""
    quota = Quota(concurrency=concurrency)
    return SharedLimiter(ledger, name="limit", quota=lambda: quota, holder=holder)


async def take(ledger: Ledger, holder: str, wanted: int) -> list[str]:
    """Request leases of a limit of four; return the names of the granted ones."""
    grant = await ledger.sync(
        "limit",
        quota=Quota(concurrency=4),
        holder=holder,
        requests=[LeaseRequest("run", [0] * wanted)],
    )
    return [lease.name for lease in grant.leases]
