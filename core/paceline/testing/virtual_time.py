"""An event loop in virtual time: a test of hours runs in milliseconds.

If no callback is ready, the clock jumps to the next timer. A test can therefore assert exact
times, and fails with `Deadlock` instead of hanging::

    @virtual_time
    async def test_a_call_takes_a_second() -> None:
        await client.call()
        assert asyncio.get_running_loop().time() == 1.0

`virtual_time` and `real_time` turn an `async def` test into a plain function. `run_virtual`
runs one coroutine and returns its result.
"""

import asyncio
import functools
import itertools
import random
import sys
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, ParamSpec, TypeVar, TypeVarTuple, overload

from paceline.planning.virtual.virtual_loop import (
    Deadlock,
    JumpingLoop,
    LeftVirtualTime,
    OutOfTime,
    VirtualTimeError,
)

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

__all__ = [
    "Deadlock",
    "LeftVirtualTime",
    "OutOfTime",
    "VirtualLoop",
    "VirtualTimeError",
    "real_time",
    "run_virtual",
    "virtual_time",
]


def run_virtual(
    coro: Coroutine[Any, Any, T], *, limit: float | None = None, seed: int | None = None
) -> T:
    """Run a coroutine in virtual time, starting at 0; returns its result.

    Args:
        coro: the coroutine. Tasks that still run at its end are cancelled, as in `asyncio.run`.
        limit: virtual seconds after which the run fails with `OutOfTime`.
        seed: runs callbacks that are ready at the same time in a random order, to explore
            interleavings. The same seed gives the same order. Default: first in, first out.

    Raises:
        LeftVirtualTime: even if the code under test caught it.
    """
    loop = VirtualLoop(limit=limit, seed=seed)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            return runner.run(coro)
        finally:
            # Code under test may have caught it with `except Exception`.
            if loop.left is not None:
                raise loop.left


@overload
def virtual_time(test: Callable[P, Coroutine[Any, Any, T]], /) -> Callable[P, T]: ...
@overload
def virtual_time(
    *, limit: float | None = None, seed: int | None = None
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, T]]: ...
def virtual_time(
    test: Callable[P, Coroutine[Any, Any, T]] | None = None,
    /,
    *,
    limit: float | None = None,
    seed: int | None = None,
) -> Callable[P, T] | Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, T]]:
    """Make an `async def` test a plain function that runs in virtual time.

    Use it with or without arguments. The test keeps its parameters, so fixtures and
    `pytest.mark.parametrize` work. Put Hypothesis' `@given` above it, so that each example runs
    on a new loop from time 0.

    Args:
        test: the test.
        limit: see `run_virtual`.
        seed: see `run_virtual`.
    """

    def decorate(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
        @functools.wraps(test)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            return run_virtual(test(*args, **kwargs), limit=limit, seed=seed)

        return run

    return decorate if test is None else decorate(test)


@overload
def real_time(test: Callable[P, Coroutine[Any, Any, T]], /) -> Callable[P, T]: ...
@overload
def real_time(
    *, limit: float | None = 120.0
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, T]]: ...
def real_time(
    test: Callable[P, Coroutine[Any, Any, T]] | None = None, /, *, limit: float | None = 120.0
) -> Callable[P, T] | Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, T]]:
    """Make an `async def` test a plain function that runs on an ordinary event loop.

    Use it like `virtual_time`, for a test with sockets, threads or subprocesses.

    Args:
        test: the test.
        limit: seconds after which the test fails with `TimeoutError`.
    """

    def decorate(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
        @functools.wraps(test)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            async def bounded() -> T:
                async with asyncio.timeout(limit):
                    return await test(*args, **kwargs)

            return asyncio.run(bounded())

        return run

    return decorate if test is None else decorate(test)


class VirtualLoop(JumpingLoop):
    """The event loop of `run_virtual`. Use it directly with your own runner.

    Args:
        limit: virtual seconds until `OutOfTime` is raised. Clean-up may take as long again.
        seed: runs callbacks that are ready at the same time in a random order.
    """

    def __init__(self, *, limit: float | None = None, seed: int | None = None) -> None:
        self._shuffled = seed is not None
        # asyncio alone runs timers with equal times in the arbitrary order of its heap.
        self._tie = itertools.count().__next__ if seed is None else random.Random(seed).random  # noqa: S311
        self._thread: int | None = None
        super().__init__(limit=limit)

    def run_forever(self) -> None:
        """Run until stopped, with callbacks from this thread only."""
        _watch_the_process()
        self._thread = threading.get_ident()
        self._threads_before = set(threading.enumerate())
        super().run_forever()

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run a callback in the next iteration, in random order if there is a seed."""
        if not self._shuffled:
            return super().call_soon(callback, *args, context=context)
        # Use a timer that is due now, so that the heap of timers sorts by the tie-breaker.
        return self.call_at(self.time(), callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run a callback at a virtual time."""
        return super().call_at(_Moment(when, self._tie()), callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Accept calls from the loop's thread only. Signal handlers of asyncio use it."""
        if self._thread not in {None, threading.get_ident()}:
            self.leave(f"a call from the thread {threading.current_thread().name!r}")
        return self.call_soon(callback, *args, context=context)

    def before_jump(self, to: float | None) -> None:
        """Raise an error if a thread was started, or the clock cannot jump to a time."""
        for thread in threading.enumerate():
            if thread not in self._threads_before:
                self.leave(f"the thread {thread.name!r} was started")
        super().before_jump(to)


class _Moment(float):
    """A time with a number that orders equal times."""

    tie: float

    def __new__(cls, when: float, tie: float) -> "_Moment":
        moment = super().__new__(cls, when)
        moment.tie = tie
        return moment

    def __lt__(self, other: float) -> bool:
        if isinstance(other, _Moment) and self == other:
            return self.tie < other.tie
        return super().__lt__(other)


_REFUSED_EVENTS = {
    "socket.__new__": "a socket",
    "subprocess.Popen": "a subprocess",
    "os.fork": "a fork",
    "os.posix_spawn": "a subprocess",
    "os.system": "a subprocess",
    # Python 3.11 has no such event. There, a thread is found before the next jump.
    "_thread.start_new_thread": "a thread",
    "_thread.start_joinable_thread": "a thread",
}


@functools.cache
def _watch_the_process() -> None:
    """Detect sockets, subprocesses and threads that are created without the loop's methods.

    An audit hook cannot be removed, so the first virtual run adds one for the whole process.
    """

    def hook(event: str, _: tuple[object, ...]) -> None:
        if event in _REFUSED_EVENTS:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return
            if isinstance(loop, VirtualLoop):
                loop.leave(_REFUSED_EVENTS[event])

    sys.addaudithook(hook)
