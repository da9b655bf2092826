"""A worker as a process: uses a resource with a pool of keys and prints which key it had when.

Run as ``python resource_user_process.py URL USES SECONDS REFUSED``. It prints one line per use: the
key, and the times of its begin and end on the machine's monotonic clock. After the first use it
reports a refusal of the key REFUSED, if it is not empty.
"""

import asyncio
import sys
import time

from paceline import Refused, Work
from paceline.generation.resources import Resources
from paceline.settings.model import RedisSettings, ResourceSettings
from paceline_adapters.redis.connection import Link
from paceline_adapters.redis.ledger import RedisLedger
from pydantic import SecretStr

#: Requests a minute and uses at once of each key.
REQUESTS, AT_ONCE = 600, 4


async def main(url: str, uses: int, seconds: float, refused: str) -> None:
    """Do so."""
    link = Link(RedisSettings(url=SecretStr(url)), connections=4)
    ledger = RedisLedger(link, prefix="test", lease_seconds=30.0, settle_in=0.0)
    settings = ResourceSettings(
        requests_per_minute=REQUESTS,
        concurrency=AT_ONCE,
        keys={name: SecretStr(name) for name in ("one", "two")},
    )
    resources = Resources({"search": settings}, lambda: ledger)
    reported: list[str] = []

    async def use(number: int) -> None:
        work = Work(level="call", run_id="run", roadmap_id="r", concept_id=f"c{number}")
        try:
            async with resources.use("search", work) as it:
                assert it.key is not None
                key, since = it.key.get_secret_value(), time.monotonic()
                await asyncio.sleep(seconds)
                sys.stdout.write(f"{key} {since} {time.monotonic()}\n")
                if key == refused and not reported:
                    reported.append(key)
                    raise Refused(retry_after=60.0)  # noqa: TRY301
        except Refused:
            sys.stdout.write(f"refused {time.monotonic()} {time.monotonic()}\n")

    await asyncio.gather(*(use(number) for number in range(uses)))
    await resources.close()
    await ledger.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]))
