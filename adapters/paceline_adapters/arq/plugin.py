"""Offers the executor ``arq``."""

from paceline import Context, Executor, Options, Register, SettingsError, hookimpl
from pydantic import Field


class ArqOptions(Options):
    """Options of the arq executor."""

    max_jobs: int = Field(default=8, ge=1, le=10_000)
    """Roadmaps worked on at once by one worker."""
    queue: str = Field(
        default="content_generation", min_length=1, max_length=100, pattern=r"^[\w.-]+$"
    )
    """Name of the queue; workers of different queues do not see each other's runs."""
    job_timeout: float = Field(default=1800.0, gt=0, le=7 * 24 * 3600, allow_inf_nan=False)
    """Seconds after which arq stops a job; above ``run.deadline``, which stops it tidily."""
    poll_delay: float = Field(default=0.2, ge=0.01, le=60, allow_inf_nan=False)
    """Seconds between a worker's looks at the queue."""


def _make(options: ArqOptions, context: Context) -> Executor:
    settings = context.settings
    if settings.redis.url is None:
        raise SettingsError(
            "executor 'arq' needs Redis: set redis.url (in the environment PACELINE_REDIS__URL), "
            "as in redis://localhost:6379/0"
        )
    if options.job_timeout <= settings.run.deadline:
        raise SettingsError(
            f"executors.arq.job_timeout: {options.job_timeout:g} s must be above run.deadline, "
            f"{settings.run.deadline:g} s"
        )
    from paceline_adapters.arq.executor import Arq

    return Arq(options, context)


@hookimpl
def paceline_register_executors(register: Register[Executor]) -> None:
    """Offer it."""
    register(
        "arq",
        _make,
        options=ArqOptions,
        summary="Runs in arq workers, handed out through Redis; asyncio from end to end.",
    )
