"""What the lines of the log are about: kept per task, so that libraries' lines have it too."""

import asyncio
from collections.abc import Coroutine, Mapping
from contextvars import Context, ContextVar
from typing import Any

_concerned: ContextVar[Mapping[str, str]] = ContextVar("paceline_concerned", default={})  # noqa: B039


def concern(**ids: str) -> None:
    """From here on, in this task and those it makes, the log is about these.

    Args:
        ids: of ``run_id``, ``worker_id``, ``concept_id`` and ``step``; others stay.
    """
    _concerned.set({**_concerned.get(), **ids})


def concerned() -> Mapping[str, str]:
    """What the running task is about."""
    return _concerned.get()


def in_background(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """A task that works for all, though one run happened to need it first: about none of them."""
    context, worker_id = Context(), concerned().get("worker_id")
    if worker_id is not None:
        context.run(concern, worker_id=worker_id)
    return asyncio.get_running_loop().create_task(work, context=context)
