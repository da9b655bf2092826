"""Coroutines that a stop signal cancels."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TypeVar

from paceline.process.stop_signals import ignored, stop_signals

ResultT = TypeVar("ResultT")
SignalHandler = Callable[[int], None]

#: The handler of the innermost ``signals_handled``.
_current: ContextVar[SignalHandler | None] = ContextVar("_current", default=None)


def run_stoppable(main: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a coroutine like ``asyncio.run``, and cancel it at the first stop signal.

    ``asyncio.run`` does this for SIGINT only. A handler that raises an exception instead may
    interrupt the event loop's own code, and the result that a task waits for is lost.
    A second signal ends the process through its own handler.

    Raises:
        KeyboardInterrupt: SIGINT arrived.
        SystemExit: another signal arrived; its code is 128 plus the number of the signal.
    """
    if threading.current_thread() is not threading.main_thread():
        return asyncio.run(main)  # signals arrive in the main thread only
    received: list[int] = []

    async def until_signalled() -> ResultT:
        task = asyncio.current_task()

        def cancel(number: int) -> None:
            received.append(number)
            handled.restore()
            if task is not None:
                task.cancel()

        handled = signals_handled(cancel)
        with handled:
            return await main

    try:
        return asyncio.run(until_signalled())
    except asyncio.CancelledError:
        if received == [signal.SIGINT]:
            raise KeyboardInterrupt from None
        if received:
            raise SystemExit(128 + received[0]) from None
        raise


class signals_handled:  # noqa: N801 - used as a function, in ``with``
    """Call a handler on the running loop with the number of each stop signal meanwhile.

    Args:
        handler: called with the number of the signal.
    """

    def __init__(self, handler: SignalHandler) -> None:
        self._handler = handler
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._outer = _current.get()
        self._token = _current.set(self._handler)
        self._before = {number: signal.getsignal(number) for number in stop_signals()}
        for number in self._before:
            self._loop.add_signal_handler(number, self._handler, number)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
        self.restore()

    def restore(self) -> None:
        """Restore the handlers that were there before."""
        for number, earlier in self._before.items():
            if signal.getsignal(number) is ignored:
                continue  # the process is ending
            if self._outer is not None:
                self._loop.add_signal_handler(number, self._outer, number)
                continue
            self._loop.remove_signal_handler(number)
            if earlier is not None:  # the loop restores only the defaults
                signal.signal(number, earlier)
        self._before = {}


def ignore_stop_signals() -> None:
    """Ignore them from now on, because the process is ending. Child processes do not."""
    with suppress(RuntimeError):  # no loop runs in this thread
        loop = asyncio.get_running_loop()
        for number in stop_signals():
            loop.remove_signal_handler(number)
    for number in stop_signals():
        signal.signal(number, ignored)
