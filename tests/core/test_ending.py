"""Tasks end even if they swallow a cancellation."""

import asyncio
from contextlib import suppress

from paceline.tasks import cancel_and_wait
from paceline.testing.virtual_time import virtual_time


@virtual_time
async def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    forgotten = 0

    async def forgetful() -> None:
        nonlocal forgotten
        while forgotten < 3:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            forgotten += 1
        await asyncio.sleep(3600)

    tasks = [asyncio.create_task(forgetful()), asyncio.create_task(asyncio.sleep(0))]
    await asyncio.sleep(1)
    await cancel_and_wait(*tasks)
    assert tasks[0].cancelled()
    assert forgotten == 3
