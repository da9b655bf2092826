"""Signals: the first one drains a worker, the second one stops it at once."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any


@contextmanager
def signals_handled(handler: Callable[[int], None]) -> Generator[None]:
    """Call ``handler`` with the number of each SIGINT and SIGTERM that arrives meanwhile."""
    loop, numbers = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, handler, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def wait_until_signalled(
    serving: "asyncio.Task[None]",
    *,
    drain: Callable[[], Coroutine[Any, Any, None]],
    stop: Callable[[], Coroutine[Any, Any, None]],
) -> int:
    """Wait for a task; drain at the first SIGINT or SIGTERM, and stop at every further one.

    The task must end when the worker drains or stops. Returns the exit code of the process: 0,
    130 after SIGINT, 143 after SIGTERM.
    """
    loop = asyncio.get_running_loop()
    received: list[int] = []
    stopping: list[asyncio.Task[None]] = []

    def on_signal(number: int) -> None:
        received.append(number)
        stopping.append(loop.create_task(drain() if len(received) == 1 else stop()))

    with signals_handled(on_signal):
        await serving
        if stopping:
            await asyncio.wait(stopping)
    return 128 + received[0] if received else 0
