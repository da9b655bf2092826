"""Registers the executor ``arq``."""

from paceline import Context, Executor, Register, SettingsError, hookimpl

from paceline_adapters.arq.options import NAME, ArqOptions


def _make(options: ArqOptions, context: Context) -> Executor:
    settings = context.settings
    if settings.redis.url is None:
        raise SettingsError(
            "executor 'arq' needs Redis: set redis.url (in the environment PACELINE_REDIS__URL), "
            "for example to redis://localhost:6379/0"
        )
    if options.job_timeout <= settings.run.deadline:
        raise SettingsError(
            f"executors.arq.job_timeout must be above run.deadline, got {options.job_timeout:g} s "
            f"and {settings.run.deadline:g} s"
        )
    from paceline_adapters.arq.executor import Arq

    return Arq(options, context)


@hookimpl
def paceline_register_executors(register: Register[Executor]) -> None:
    """Register the executor."""
    register(
        NAME,
        _make,
        options=ArqOptions,
        summary="Runs in arq workers, with Redis as the queue; asyncio from end to end.",
    )
