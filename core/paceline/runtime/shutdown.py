"""Signals: the first asks a worker to finish what is in flight, the second to stop at once."""

import asyncio
import logging
import signal

from paceline.runtime.worker import Worker

log = logging.getLogger("paceline.runtime.worker")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def serve_until_signalled(worker: Worker, serving: asyncio.Task[None]) -> int:
    """Serve until it ends by itself or a signal comes.

    SIGINT or SIGTERM drains the worker within ``run.grace`` seconds; another one stops it at
    once. Either way every run is left resumable.

    Args:
        worker: the worker to drain.
        serving: what hands it runs; must end when the worker drains.

    Returns:
        The process's exit code: 0, or 130 and 143 after SIGINT and SIGTERM.
    """
    loop = asyncio.get_running_loop()
    received: list[int] = []
    stopping: list[asyncio.Task[None]] = []

    def on_signal(number: int) -> None:
        received.append(number)
        if len(received) == 1:
            calls, grace = worker.parts.gauges.calls, worker.parts.settings.run.grace
            log.warning(
                "stopping: %d calls in flight may end within %g s; again stops at once",
                calls,
                grace,
            )
            stopping.append(loop.create_task(worker.drain(worker.parts.settings.run.grace)))
        else:
            stopping.append(loop.create_task(worker.stop()))

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
