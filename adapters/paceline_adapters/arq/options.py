"""The options of the arq executor."""

from paceline import Options
from pydantic import Field

#: The executor's name in the settings.
NAME = "arq"


class ArqOptions(Options):
    """Options of the arq executor."""

    max_jobs: int = Field(default=8, ge=1, le=10_000)
    """Maximum number of roadmaps that one worker generates at once."""
    queue: str = Field(
        default="content_generation", min_length=1, max_length=100, pattern=r"^[\w.-]+$"
    )
    """Name of the queue. Workers see only the runs of their own queue."""
    job_timeout: float = Field(default=1800.0, gt=0, le=7 * 24 * 3600, allow_inf_nan=False)
    """Seconds after which arq aborts a job. Must be above `run.deadline`, which stops the run
    cleanly."""
    poll_delay: float = Field(default=0.2, ge=0.01, le=60, allow_inf_nan=False)
    """Seconds between two polls of the queue by one worker."""
