"""Registers the executor ``celery``."""

from paceline import Context, Executor, Register, hookimpl

from paceline_adapters.celery.options import NAME, CeleryOptions


def _make(options: CeleryOptions, context: Context) -> Executor:
    from paceline_adapters.celery.executor import CeleryExecutor

    return CeleryExecutor(options, context)


@hookimpl
def paceline_register_executors(register: Register[Executor]) -> None:
    """Register the executor."""
    register(
        NAME,
        _make,
        options=CeleryOptions,
        summary="Runs in Celery workers, with Redis as the broker; fits beside your Celery app.",
    )
