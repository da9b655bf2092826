"""Trying again what fails in passing, and finishing what was begun."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 3.0


async def patiently(
    attempt: Callable[[], Awaitable[T]],
    *,
    patience: float,
    passing: Callable[[BaseException], bool],
) -> T:
    """The result of the first attempt that succeeds.

    Args:
        attempt: what to try; called again after a fault.
        patience: seconds after which a fault is final.
        passing: whether another attempt may fare better.

    Raises:
        Exception: what the last attempt raised.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    pause = _FIRST_PAUSE
    while True:
        try:
            return await attempt()
        except Exception as error:
            if not passing(error) or loop.time() + pause > deadline:
                raise
        # Full jitter: processes that met the same fault do not come back together.
        await asyncio.sleep(pause * random.random())  # noqa: S311
        pause = min(2 * pause, _LONGEST_PAUSE)


async def settled(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end even if the caller is cancelled meanwhile, and only then say so.

    A transaction whose caller was cancelled may commit or not, depending on the driver and
    the moment: after this, what was begun is done, and the connection is clean.
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
            future.exception()  # looked at, so that asyncio does not report it as lost
        raise cancelled
