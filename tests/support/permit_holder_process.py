"""A worker as a process: takes permits of a shared limit and says when it held them.

Run as ``python permit_holder_process.py URL LIMIT CALLS SECONDS LEASE``. It prints one line per
call: the times of admission and release on the machine's monotonic clock. With 0 CALLS, it takes
all permits that it can get and keeps them.
"""

import asyncio
import random
import sys
import time

from paceline import Done, Work
from paceline.admission import SharedLimiter
from paceline.contracts.admission.ledger import Quota
from paceline.settings.model import RedisSettings
from paceline_adapters.redis.connection import Link
from paceline_adapters.redis.ledger import RedisLedger
from pydantic import SecretStr

WORK = Work(level="call", run_id="run", roadmap_id="roadmap", concept_id="concept", key="model")


async def main(url: str, limit: int, calls: int, seconds: float, lease: float) -> None:
    """Do so."""
    link = Link(RedisSettings(url=SecretStr(url)), connections=4)
    ledger = RedisLedger(link, prefix="test", lease_seconds=lease, settle_in=0.0)
    limiter = SharedLimiter(ledger, name="limit", quota=lambda: Quota(concurrency=limit))

    async def call() -> None:
        permit = await limiter.admit(WORK)
        since = time.monotonic()
        await asyncio.sleep(random.uniform(0, 2 * seconds))
        sys.stdout.write(f"{since} {time.monotonic()}\n")
        permit.release(Done())

    if not calls:
        for _ in range(limit):
            await limiter.admit(WORK)
            sys.stdout.write("held\n")
            sys.stdout.flush()
        await asyncio.Event().wait()
    await asyncio.gather(*(call() for _ in range(calls)))
    await limiter.close()
    await ledger.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *map(float, sys.argv[4:])))
