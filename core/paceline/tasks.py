"""Cancelling tasks reliably, and starting tasks that belong to no run."""

import asyncio
from collections.abc import Coroutine, Iterable
from contextvars import Context
from typing import Any

from paceline import log_context
from paceline.errors import first_cause

_REPEAT = 0.01


async def cancel_and_wait(*tasks: "asyncio.Task[object]") -> None:
    """Cancel tasks until all of them have ended.

    Before Python 3.12, ``asyncio.wait_for`` loses a cancellation that arrives at the moment
    when its result is ready, so one cancellation may not end a task that loops. Do not use
    this for a task that must finish its clean-up undisturbed.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_REPEAT)


async def run_all(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all at the same time. If one fails, cancel the others and raise its error."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for coroutine in coroutines:
                tasks.create_task(coroutine)
    except BaseExceptionGroup as group:
        raise first_cause(group) from None


def start_background(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """Start a task that serves all runs: its log lines carry the worker's id and no run's."""
    context, worker_id = Context(), log_context.current().get("worker_id")
    if worker_id is not None:
        context.run(log_context.bind, worker_id=worker_id)
    return asyncio.get_running_loop().create_task(work, context=context)
