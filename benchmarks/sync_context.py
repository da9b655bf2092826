"""Async context managers in synchronous code, for the tests of pytest-benchmark."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def run_context(runner: asyncio.Runner, context: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Enter and exit an async context manager on the runner's loop."""
    value = runner.run(context.__aenter__())
    try:
        yield value
    finally:
        runner.run(context.__aexit__(None, None, None))
