"""Ending tasks, whatever a client within does to a cancellation."""

import asyncio

_AGAIN = 0.01


async def end(*tasks: "asyncio.Task[object]") -> None:
    """Cancel tasks, again and again, until all have ended.

    Clients that use ``asyncio.wait_for`` forget, before Python 3.12, a cancellation that comes
    in the moment when what they wait for is done. A task that asks one of them for ever would
    then go on for ever. Not for a task that does something after it was cancelled and must not
    be cancelled in that.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN)
