"""Signals: the first one drains a worker, the second one stops it at once."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def wait_until_signalled(
    serving: "asyncio.Task[None]",
    *,
    drain: Callable[[], Coroutine[Any, Any, None]],
    stop: Callable[[], Coroutine[Any, Any, None]],
) -> int:
    """Wait for a task; handle SIGINT and SIGTERM meanwhile.

    Args:
        serving: the task; it must end when the worker drains or stops.
        drain: called at the first signal.
        stop: called at every further signal.

    Returns:
        The exit code of the process: 0, 130 after SIGINT, 143 after SIGTERM.
    """
    loop = asyncio.get_running_loop()
    received: list[int] = []
    stopping: list[asyncio.Task[None]] = []

    def on_signal(number: int) -> None:
        received.append(number)
        stopping.append(loop.create_task(drain() if len(received) == 1 else stop()))

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        await serving
        if stopping:
            await asyncio.wait(stopping)
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
    return 128 + received[0] if received else 0
