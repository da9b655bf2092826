"""What the lines of the log are about: kept per task, so that libraries' lines have it too."""

from collections.abc import Mapping
from contextvars import ContextVar

_concerned: ContextVar[Mapping[str, str]] = ContextVar("paceline_concerned", default={})  # noqa: B039


def bind(**ids: str) -> None:
    """From here on, in this task and those it makes, the log is about these.

    Args:
        ids: of ``run_id``, ``worker_id``, ``concept_id`` and ``step``; others stay.
    """
    _concerned.set({**_concerned.get(), **ids})


def current() -> Mapping[str, str]:
    """What the running task is about."""
    return _concerned.get()
