"""An async context that synchronous code enters, as pytest-benchmark's tests must."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def entered(runner: asyncio.Runner, context: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Enter it on the runner's loop, and leave it there in the end."""
    inside = runner.run(context.__aenter__())
    try:
        yield inside
    finally:
        runner.run(context.__aexit__(None, None, None))
