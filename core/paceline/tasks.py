"""Ending tasks, whatever a client within does to a cancellation."""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

from paceline import log_context

_AGAIN = 0.01


async def cancel_and_wait(*tasks: "asyncio.Task[object]") -> None:
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


def start_background(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """A task that works for all, though one run happened to need it first: about none of them."""
    context, worker_id = Context(), log_context.current().get("worker_id")
    if worker_id is not None:
        context.run(log_context.bind, worker_id=worker_id)
    return asyncio.get_running_loop().create_task(work, context=context)
