"""Signals: the first one drains a worker, the second one stops it at once."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from paceline.process.stoppable import ignore_stop_signals, signals_handled


async def wait_until_signalled(
    serving: "asyncio.Task[None]",
    *,
    drain: Callable[[], Coroutine[Any, Any, None]],
    stop: Callable[[], Coroutine[Any, Any, None]],
) -> int:
    """Wait for a task; drain at the first of ``stop_signals``, and stop at every further one.

    The task must end when the worker drains or stops. Returns the exit code of the process: 0,
    129 after SIGHUP, 130 after SIGINT, 143 after SIGTERM.
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
    if received:
        ignore_stop_signals()  # the worker deregisters, and nothing more can be stopped
    return 128 + received[0] if received else 0
