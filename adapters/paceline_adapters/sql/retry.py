"""Retry transient faults, and complete started work although the caller is cancelled."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 3.0


async def retry(
    attempt: Callable[[], Awaitable[T]],
    *,
    patience: float,
    transient: Callable[[BaseException], bool],
) -> T:
    """Return the result of the first attempt that succeeds.

    Args:
        attempt: what to try. It is called again after a transient fault.
        patience: seconds after which a fault is final.
        transient: whether another attempt may succeed after an error.

    Raises:
        Exception: the error of the last attempt.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    pause = _FIRST_PAUSE
    while True:
        try:
            return await attempt()
        except Exception as error:
            if not transient(error) or loop.time() + pause > deadline:
                raise
        # Full jitter: processes with the same fault do not retry at the same moment.
        await asyncio.sleep(pause * random.random())  # noqa: S311
        pause = min(2 * pause, _LONGEST_PAUSE)


async def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Complete the work even if the caller is cancelled meanwhile; then raise the cancellation.

    If a transaction's caller is cancelled, the driver may commit or not. With this function the
    transaction completes first, and the connection stays usable.
    """
    task = asyncio.ensure_future(work)
    await until_done(task)
    return task.result()


async def until_done(future: asyncio.Future[T]) -> None:
    """Wait for a future without ever cancelling it.

    Raises:
        asyncio.CancelledError: the caller was cancelled meanwhile; the future is done.
    """
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not future.cancelled():
            future.exception()  # retrieved, so that asyncio does not report it as lost
        raise cancelled
