"""An event loop in virtual time: a test of hours runs in milliseconds.

Nothing waits: if no callback is ready, the clock jumps to the next timer. So a test states
times exactly, and a test that would hang ends with a `Deadlock` instead::

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
import selectors
import sys
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, NoReturn, ParamSpec, TypeVar, TypeVarTuple, overload

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Virtual seconds (115 days) after which any run ends: asyncio counts timers in steps of a
#: nanosecond, and a float no longer tells these apart much beyond.
END_OF_TIME = 1e7


class VirtualTimeError(RuntimeError):
    """A run in virtual time cannot go on.

    No `PacelineError`: what handles those must not take this for a failure it knows.
    """


class Deadlock(VirtualTimeError):
    """Nothing is ready and no timer is set: the tasks wait for each other, or for nothing."""


class OutOfTime(VirtualTimeError):
    """The run was not over within its limit of virtual seconds."""


class LeftVirtualTime(VirtualTimeError):
    """A thread, a socket or a subprocess was used, whose time would not be virtual."""


def run_virtual(
    coro: Coroutine[Any, Any, T], *, limit: float | None = None, seed: int | None = None
) -> T:
    """Run a coroutine to its end in virtual time, which begins at 0, and return its result.

    Args:
        coro: what to run; tasks it leaves behind are cancelled, as `asyncio.run` does.
        limit: virtual seconds after which the run fails with `OutOfTime`.
        seed: runs callbacks that are ready at the same time in a random order, the same
            for the same seed, to explore interleavings; without it, first come, first run.

    Raises:
        LeftVirtualTime: also when the code under test caught it.
    """
    loop = VirtualLoop(limit=limit, seed=seed)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            return runner.run(coro)
        finally:
            # Code that guards itself with `except Exception` must not hide it.
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
    `pytest.mark.parametrize` work. Put Hypothesis' `@given` above it: each example then runs
    on a loop of its own, from time 0.

    Args:
        test: the test.
        limit: as of `run_virtual`.
        seed: as of `run_virtual`.
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

    Use it as `virtual_time`, for a test with sockets, threads or subprocesses.

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


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop behind `run_virtual`, for those who need their own runner.

    Args:
        limit: virtual seconds after which `OutOfTime` is raised, from where the loop was
            started; the tasks may then take as long again to end tidily.
        seed: shuffles what is ready at the same time.
    """

    def __init__(self, *, limit: float | None = None, seed: int | None = None) -> None:
        self.left: LeftVirtualTime | None = None
        self._limit = END_OF_TIME if limit is None else min(limit, END_OF_TIME)
        self._clock = _JumpingSelector(self._before_jump)
        self._shuffled = seed is not None
        # Bare asyncio runs timers of one moment in the accidental order of its heap.
        self._tie = itertools.count().__next__ if seed is None else random.Random(seed).random  # noqa: S311
        self._thread: int | None = None
        super().__init__(self._clock)

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._clock.now

    def run_forever(self) -> None:
        """Run until stopped, on this thread alone."""
        _watch_the_process()
        self._thread = threading.get_ident()
        self._threads_before = set(threading.enumerate())
        super().run_forever()

    def leave(self, how: str) -> NoReturn:
        """Refuse what has no place in virtual time."""
        error = LeftVirtualTime(f"{how} under virtual time: use a part that is all asyncio")
        self.left = self.left or error
        raise error

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run a callback in the next round, among those of the same moment."""
        if not self._shuffled:
            return super().call_soon(callback, *args, context=context)
        # A timer that is due at once: the heap of timers then sorts by our tie-break.
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
        """Serve this thread (asyncio's own signal handlers call it); refuse any other."""
        if self._thread not in {None, threading.get_ident()}:
            self.leave(f"a call from the thread {threading.current_thread().name!r}")
        return self.call_soon(callback, *args, context=context)

    def _before_jump(self, to: float | None) -> None:
        """Refuse to jump over what is still going on in real time, or out of the run."""
        for thread in threading.enumerate():
            if thread not in self._threads_before:
                self.leave(f"the thread {thread.name!r} was started")
        if to is None:
            raise Deadlock(
                f"nothing can ever happen after {self.time():g} virtual seconds; "
                f"waiting:\n{self._waiting()}"
            )
        if to > self._limit:
            limit, self._limit = self._limit, min(2 * self._limit, END_OF_TIME)
            raise OutOfTime(
                f"not over after {limit:g} virtual seconds; waiting:\n{self._waiting()}"
            )

    def _waiting(self) -> str:
        tasks = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
        return "\n".join(f"  {task.get_name()}: {_where(task)}" for task in tasks) or "  no task"


class _JumpingSelector(selectors.DefaultSelector):
    """Reports what is ready; when nothing is, moves its clock instead of waiting."""

    def __init__(self, before_jump: Callable[[float | None], None]) -> None:
        super().__init__()
        self.now = 0.0
        self._before_jump = before_jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            to = None if timeout is None else self.now + timeout
            self._before_jump(to)
            self.now = to or self.now
        return ready


class _Moment(float):
    """A time whose ties are broken by a number of its own."""

    tie: float

    def __new__(cls, when: float, tie: float) -> "_Moment":
        moment = super().__new__(cls, when)
        moment.tie = tie
        return moment

    def __lt__(self, other: float) -> bool:
        if isinstance(other, _Moment) and self == other:
            return self.tie < other.tie
        return super().__lt__(other)


def _where(task: asyncio.Task[Any]) -> str:
    """Name the coroutines a task stands in, outermost first, and the line of the last."""
    names: list[str] = []
    line = ""
    step: Any = task.get_coro()
    while hasattr(step, "cr_frame"):
        names.append(step.__qualname__)
        if step.cr_frame is not None:
            line = f" ({step.cr_frame.f_code.co_filename}:{step.cr_frame.f_lineno})"
        step = step.cr_await
    return " > ".join(names) + line


_REFUSED_CALLS = """
    run_in_executor getaddrinfo getnameinfo subprocess_exec subprocess_shell
    create_connection create_server create_unix_connection create_unix_server
    create_datagram_endpoint connect_accepted_socket connect_read_pipe connect_write_pipe
    start_tls sendfile add_reader add_writer sock_recv sock_recv_into sock_recvfrom
    sock_recvfrom_into sock_sendall sock_sendto sock_connect sock_accept sock_sendfile
""".split()  # noqa: SIM905

for _name in _REFUSED_CALLS:

    def _refuse(loop: VirtualLoop, *_: object, _name: str = _name, **__: object) -> NoReturn:
        loop.leave(f"{_name}()")

    setattr(VirtualLoop, _name, _refuse)

_REFUSED_EVENTS = {
    "socket.__new__": "a socket",
    "subprocess.Popen": "a subprocess",
    "os.fork": "a fork",
    "os.posix_spawn": "a subprocess",
    "os.system": "a subprocess",
    # Python 3.11 does not tell; there a thread is found when time would jump over it.
    "_thread.start_new_thread": "a thread",
    "_thread.start_joinable_thread": "a thread",
}


@functools.cache
def _watch_the_process() -> None:
    """Hear of sockets and subprocesses that are made behind the loop's back.

    An audit hook cannot be removed, so there is one per process and only from the first
    virtual run on.
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
