"""Registers the executor ``in-process``."""

from paceline import Context, Executor, Options, Register, hookimpl
from pydantic import Field


class InProcessOptions(Options):
    """Options of the in-process executor."""

    concurrency: int = Field(default=8, ge=1, le=10_000)
    """Maximum number of roadmaps that one process generates at once."""


def _make(options: InProcessOptions, context: Context) -> Executor:
    from paceline_adapters.in_process.executor import InProcess

    return InProcess(options.concurrency, context)


@hookimpl
def paceline_register_executors(register: Register[Executor]) -> None:
    """Register the executor."""
    register(
        "in-process",
        _make,
        options=InProcessOptions,
        summary="Runs in the calling process, or in `paceline worker`; needs no broker.",
    )
