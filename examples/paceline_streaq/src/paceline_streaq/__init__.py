"""An executor for paceline: clients submit runs to a queue of streaQ, workers take them."""

from paceline import Context, Executor, Options, Register, SettingsError, hookimpl
from pydantic import Field


class StreaqOptions(Options):
    """Options of the executor."""

    concurrency: int = Field(default=8, ge=1, le=1000)
    """Maximum number of roadmaps that one worker generates at once."""
    queue: str = Field(
        default="content_generation", min_length=1, max_length=100, pattern=r"^[\w.-]+$"
    )
    """Name of the queue. Workers see only the runs of their own queue."""
    idle_timeout: float = Field(default=15.0, ge=1, le=3600, allow_inf_nan=False)
    """Seconds after which another worker may take the message of a worker that has exited."""


def _make(options: StreaqOptions, context: Context) -> Executor:
    if context.settings.redis.url is None:
        raise SettingsError(
            "executor 'streaq' needs Redis: set redis.url (in the environment "
            "PACELINE_REDIS__URL), for example to redis://localhost:6379/0"
        )
    # Imported here, because `paceline --help` imports every plugin.
    from paceline_streaq.executor import Streaq

    return Streaq(options, context)


@hookimpl
def paceline_register_executors(register: Register[Executor]) -> None:
    """Register the executor ``streaq``."""
    register(
        "streaq",
        _make,
        options=StreaqOptions,
        summary="Runs in streaQ workers, with a Redis stream as the queue.",
    )
