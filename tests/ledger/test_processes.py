"""A limit over real processes, one of which may die."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from paceline import Done
from paceline.testing.virtual_time import real_time

from tests.support import permit_holder_process as holder_process
from tests.support.redis_ledgers import WORK, limiter_over, redis_ledgers


@contextmanager
def holder(
    url: str, *, limit: int, calls: int, seconds: float = 0.0, lease: float = 30.0
) -> Iterator["subprocess.Popen[str]"]:
    """Another process that uses the limit; killed at the end."""
    words = [str(word) for word in (limit, calls, seconds, lease)]
    process = subprocess.Popen(
        [sys.executable, holder_process.__file__, url, *words], stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def peak(lines: list[str]) -> int:
    """Highest number of permits out at once."""
    moments: list[tuple[float, int]] = []
    for line in lines:
        since, until = map(float, line.split())
        moments += [(since, 1), (until, -1)]
    out = most = 0
    for _, change in sorted(moments):
        out += change
        most = max(most, out)
    return most


def test_two_processes_together_reach_the_limit_and_never_exceed_it(redis_url: str) -> None:
    with (
        holder(redis_url, limit=16, calls=300, seconds=0.01) as one,
        holder(redis_url, limit=16, calls=300, seconds=0.01) as other,
    ):
        lines = one.communicate()[0].splitlines() + other.communicate()[0].splitlines()
        assert (one.returncode, other.returncode) == (0, 0)
    assert len(lines) == 600
    assert 12 <= peak(lines) <= 16


@real_time
async def test_permits_of_a_killed_process_are_free_after_the_lease_time(redis_url: str) -> None:
    lease = 3.0

    with holder(redis_url, limit=8, calls=0, lease=lease) as victim:
        assert victim.stdout is not None
        assert [victim.stdout.readline() for _ in range(8)] == ["held\n"] * 8
        since = time.monotonic()
        victim.kill()
        async with redis_ledgers(redis_url, 1, lease=lease) as (ledger,):
            limiter = limiter_over(ledger, 8)
            for permit in await asyncio.gather(*(limiter.admit(WORK) for _ in range(8))):
                permit.release(Done())
            await limiter.close()
            assert await ledger.held("limit") == {}
        # Not before the leases expired. The rest is tolerance for a busy machine.
        assert 0.2 * lease < time.monotonic() - since < lease + 20


@real_time
async def test_a_living_process_keeps_its_leases_beyond_the_lease_time(redis_url: str) -> None:
    with holder(redis_url, limit=8, calls=0, lease=3.0) as keeper:
        assert keeper.stdout is not None
        assert [keeper.stdout.readline() for _ in range(8)] == ["held\n"] * 8
        async with redis_ledgers(redis_url, 1) as (ledger,):
            late = limiter_over(ledger, 8)
            waits = asyncio.create_task(late.admit(WORK))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(waits), 4.0)
            waits.cancel()
            await late.close()
            assert sum((await ledger.held("limit")).values()) == 8
