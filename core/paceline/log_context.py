"""Ids that every log line of a task carries, including the lines of libraries."""

from collections.abc import Mapping
from contextvars import ContextVar

_ids: ContextVar[Mapping[str, str]] = ContextVar("paceline_log_ids", default={})  # noqa: B039


def bind(**ids: str) -> None:
    """Add ids to the log lines of this task and of the tasks that it creates.

    Args:
        ids: any of ``run_id``, ``worker_id``, ``concept_id`` and ``step``; others stay.
    """
    _ids.set({**_ids.get(), **ids})


def current() -> Mapping[str, str]:
    """The ids of the running task."""
    return _ids.get()
