"""The options of the Celery executor."""

from typing import Literal

from paceline import Options
from pydantic import Field, model_validator

#: The executor's name in the settings.
NAME = "celery"


class CeleryOptions(Options):
    """Options of the Celery executor."""

    concurrency: int = Field(default=8, ge=1, le=1000)
    """Maximum number of roadmaps that one worker generates at once."""
    pool: Literal["prefork", "threads"] = "prefork"
    """`prefork` runs each roadmap in a process of its own, `threads` runs all of them in one
    process."""
    queue: str = Field(default="content_generation", max_length=200, pattern=r"^[\w.-]+$")
    """Queue that runs are sent to and that workers consume."""
    prefetch_multiplier: int = Field(default=1, ge=1, le=1000)
    """Messages that a worker reserves per unit of concurrency. With 1, a busy worker reserves
    no message that an idle worker could process."""
    acks_late: bool = True
    """Acknowledge a message after its run has ended, instead of when the run starts."""
    soft_time_limit: int = Field(default=1500, ge=1, le=7 * 24 * 3600)
    """Seconds after which Celery asks a run to stop (prefork only). By default `run.deadline`
    is shorter."""
    time_limit: int = Field(default=1800, ge=1, le=7 * 24 * 3600)
    """Seconds after which Celery kills the process of a run (prefork only)."""
    visibility_timeout: int = Field(default=3600, ge=2, le=30 * 24 * 3600)
    """Seconds after which Redis redelivers an unacknowledged message to another worker."""
    app: str | None = Field(default=None, pattern=r"^[\w.]+(:[\w.]+)?$")
    """Your own Celery app, written as for `celery -A`. Its module must call `install`. If not
    set, paceline uses an app of its own."""

    @model_validator(mode="after")
    def _check_order(self) -> "CeleryOptions":
        # Redis must not redeliver the message of a run that is still in work.
        if not self.soft_time_limit < self.time_limit < self.visibility_timeout:
            raise ValueError(
                "soft_time_limit must be below time_limit, and that below visibility_timeout "
                f"(they are {self.soft_time_limit}, {self.time_limit}, {self.visibility_timeout})"
            )
        return self
