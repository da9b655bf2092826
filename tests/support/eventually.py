"""Wait until a condition holds: the only place in the tests where time passes."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar, overload

T = TypeVar("T")

PAUSE = 0.01


def eventually(check: Callable[[], T], within: float = 10.0) -> T:
    """Call ``check`` until it returns a true value, and return that value.

    An ``AssertionError`` of the check means "not yet"; any other exception is raised.

    Args:
        check: reads a state and changes nothing.
        within: seconds after which the test fails, with the last answer.
    """
    deadline = time.monotonic() + within
    while True:
        last: object = None
        try:
            last = answer = check()
            if answer:
                return answer
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            _fail(check, within, last)
        time.sleep(PAUSE)


@overload
async def eventually_async(check: Callable[[], Awaitable[T]], within: float = 10.0) -> T: ...
@overload
async def eventually_async(check: Callable[[], T], within: float = 10.0) -> T: ...
async def eventually_async(check: Callable[[], Any], within: float = 10.0) -> Any:
    """Wait like `eventually` without blocking the loop; the check may be a coroutine function."""
    deadline = time.monotonic() + within
    while True:
        last: object = None
        try:
            answer = check()
            last = await answer if inspect.isawaitable(answer) else answer
            if last:
                return last
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            _fail(check, within, last)
        await asyncio.sleep(PAUSE)


def _fail(check: Callable[..., object], within: float, last: object) -> NoReturn:
    code = getattr(check, "__code__", None)
    where = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
    name = getattr(check, "__qualname__", repr(check))
    cause = last if isinstance(last, AssertionError) else None
    raise AssertionError(f"not within {within:g} s: {name}{where}; last: {last!r}") from cause
