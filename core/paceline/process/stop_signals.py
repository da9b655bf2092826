"""The signals that ask a process to stop."""

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


def stop_signals() -> tuple[signal.Signals, ...]:
    """SIGINT, SIGTERM, and SIGHUP, which a closed terminal sends.

    SIGHUP is left out if the process was started with ``nohup``, which ignores it.
    """
    return (signal.SIGINT, signal.SIGTERM) if hangup_ignored() else _WITH_HANGUP


def hangup_ignored() -> bool:
    """Whether SIGHUP is ignored, or does not exist on this system."""
    return _HANGUP is None or signal.getsignal(_HANGUP) is signal.SIG_IGN


@contextmanager
def exit_on_stop_signals() -> Generator[None]:
    """End the process through its ``finally`` blocks at the first signal, with its exit code.

    By default, SIGTERM ends a process at once. A worker that has registered and does not handle
    signals yet would then stay registered. Further signals have no effect, because the process
    is ending. SIGINT keeps Python's handler, which raises ``KeyboardInterrupt``.

    Raises:
        SystemExit: a signal arrived; its code is 128 plus the number of the signal.
    """
    ending = False

    def end(number: int, _frame: FrameType | None) -> None:
        nonlocal ending
        if not ending:
            ending = True
            raise SystemExit(128 + number)

    numbers = [number for number in stop_signals() if number != signal.SIGINT]
    before = [signal.signal(number, end) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def ignored(_number: int, _frame: FrameType | None) -> None:
    """Ignore a signal. Unlike ``SIG_IGN``, child processes do not inherit this handler."""


_HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
_WITH_HANGUP = (signal.SIGINT, signal.SIGTERM, *(() if _HANGUP is None else (_HANGUP,)))
