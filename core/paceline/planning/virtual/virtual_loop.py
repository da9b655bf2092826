"""An event loop in virtual time: if no callback is ready, its clock jumps to the next timer."""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any, NoReturn

#: Maximum virtual seconds of a run (115 days). asyncio compares timers by nanoseconds, which a
#: float cannot represent for much larger times.
END_OF_TIME = 1e7


class VirtualTimeError(RuntimeError):
    """A run in virtual time cannot continue.

    This is no `PacelineError`, so that code under test does not handle it.
    """


class Deadlock(VirtualTimeError):
    """Nothing is ready and no timer is set, so the tasks would wait for ever."""


class OutOfTime(VirtualTimeError):
    """The run did not end within its limit of virtual seconds."""


class LeftVirtualTime(VirtualTimeError):
    """The run used a thread, a socket or a subprocess, which cannot use virtual time."""


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop that jumps to the next timer instead of waiting.

    Args:
        limit: virtual seconds until `OutOfTime` is raised. Clean-up may take as long again.
    """

    def __init__(self, *, limit: float | None = None) -> None:
        self.left: LeftVirtualTime | None = None
        self._limit = END_OF_TIME if limit is None else min(limit, END_OF_TIME)
        self._clock = _JumpingSelector(self.before_jump)
        super().__init__(self._clock)

    def time(self) -> float:
        """Virtual seconds since the loop was created."""
        return self._clock.now

    def leave(self, how: str) -> NoReturn:
        """Raise an error for an operation that virtual time does not support."""
        error = LeftVirtualTime(f"{how} under virtual time: use a part that uses asyncio only")
        self.left = self.left or error
        raise error

    def before_jump(self, to: float | None) -> None:
        """Raise an error if the clock cannot jump to a time; ``None`` if there is no timer."""
        if to is None:
            raise Deadlock(
                f"deadlock after {self.time():g} virtual seconds: no callback is ready and no "
                f"timer is set; waiting:\n{self._waiting()}"
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
    """Returns what is ready. If nothing is, it moves its clock instead of waiting."""

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


def _where(task: asyncio.Task[Any]) -> str:
    """The coroutines that a task is in, outermost first, and the line of the innermost."""
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

    def _refuse(loop: JumpingLoop, *_: object, _name: str = _name, **__: object) -> NoReturn:
        loop.leave(f"{_name}()")

    setattr(JumpingLoop, _name, _refuse)
