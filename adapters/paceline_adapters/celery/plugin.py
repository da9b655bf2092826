"""Offers the executor ``celery``."""

from typing import Literal

from paceline import Context, Executor, Options, Register, hookimpl
from pydantic import Field, model_validator

#: What the settings call this executor.
NAME = "celery"


class CeleryOptions(Options):
    """Options of the Celery executor."""

    concurrency: int = Field(default=8, ge=1, le=1000)
    """Roadmaps that one worker works on at once."""
    pool: Literal["prefork", "threads"] = "prefork"
    """A process for each of them, or one process with a thread for each."""
    queue: str = Field(default="content_generation", max_length=200, pattern=r"^[\w.-]+$")
    """Queue that runs are sent to and taken from."""
    prefetch_multiplier: int = Field(default=1, ge=1, le=1000)
    """Messages that a worker holds for each roadmap it may work on; 1 leaves none lying in a
    busy worker while another is idle."""
    acks_late: bool = True
    """Whether a message is acknowledged when its run is over, and not when it begins."""
    soft_time_limit: int = Field(default=1500, ge=1, le=7 * 24 * 3600)
    """Seconds after which Celery tells a run to stop (prefork only); ``run.deadline`` comes
    first, unless it is set later."""
    time_limit: int = Field(default=1800, ge=1, le=7 * 24 * 3600)
    """Seconds after which Celery kills a run's process (prefork only)."""
    visibility_timeout: int = Field(default=3600, ge=2, le=30 * 24 * 3600)
    """Seconds after which Redis hands an unacknowledged message to another worker."""
    app: str | None = Field(default=None, pattern=r"^[\w.]+(:[\w.]+)?$")
    """A Celery app of yours, as ``celery -A`` names it, that called ``install``; paceline's own
    when not set."""

    @model_validator(mode="after")
    def _in_order(self) -> "CeleryOptions":
        # A message that comes back while its run is in work would be delivered for nothing.
        if not self.soft_time_limit < self.time_limit < self.visibility_timeout:
            raise ValueError(
                "soft_time_limit must be below time_limit, and that below visibility_timeout "
                f"(they are {self.soft_time_limit}, {self.time_limit}, {self.visibility_timeout})"
            )
        return self


def _make(options: CeleryOptions, context: Context) -> Executor:
    from paceline_adapters.celery.executor import CeleryExecutor

    return CeleryExecutor(options, context)


@hookimpl
def paceline_register_executors(register: Register[Executor]) -> None:
    """Offer it."""
    register(
        NAME,
        _make,
        options=CeleryOptions,
        summary="Runs in Celery workers, over Redis; for production, or beside a Celery app.",
    )
