"""A process on a terminal of a given size, and what its screen shows."""

import fcntl
import os
import pty
import selectors
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyte


@dataclass(slots=True)
class Screen:
    """What a terminal shows.

    Attributes:
        process: the process that writes to it.
    """

    process: subprocess.Popen[bytes]
    _descriptor: int
    _screen: pyte.HistoryScreen
    _stream: pyte.ByteStream = field(init=False)
    _ended: bool = False

    def __post_init__(self) -> None:
        self._stream = pyte.ByteStream(self._screen)

    @property
    def lines(self) -> list[str]:
        """The lines on the screen now, without empty ones at the end."""
        lines = [line.rstrip() for line in self._screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def text(self) -> str:
        """The screen as text."""
        return "\n".join(self.lines)

    @property
    def scrolled(self) -> list[str]:
        """The lines that were scrolled off the screen at the top."""
        columns = range(self._screen.columns)
        top = self._screen.history.top
        return ["".join(line[column].data for column in columns).rstrip() for line in top]

    def type(self, keys: str) -> None:
        """Type keys."""
        os.write(self._descriptor, keys.encode())

    def until(self, condition: Callable[["Screen"], object], *, within: float = 60.0) -> None:
        """Read what the process writes until a condition holds.

        Raises:
            AssertionError: it did not hold in time, or before the process ended.
        """
        ends = time.monotonic() + within
        while not condition(self):
            assert not self._ended, f"the process ended, and the screen shows:\n{self.text}"
            assert time.monotonic() < ends, f"after {within:g} s the screen shows:\n{self.text}"
            self._read()

    def to_the_end(self, *, within: float = 60.0) -> int:
        """Read until the process ends; returns its exit code."""
        self.until(lambda screen: screen._ended, within=within)
        return self.process.wait(within)

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._descriptor, selectors.EVENT_READ)
            if not selector.select(0.2):
                return
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # Linux reports a closed terminal with this error
            data = b""
        self._ended = not data
        self._stream.feed(data)


@contextmanager
def on_a_screen(
    command: list[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    columns: int = 80,
    rows: int = 24,
) -> Generator[Screen]:
    """Run a command on a terminal of this size; it is killed at the end if it still runs."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    whole = {**environment, "TERM": "xterm-256color"}
    whole = {name: value for name, value in whole.items() if name not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        command,
        cwd=folder,
        env=whole,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_take_the_terminal,  # noqa: PLW1509
    ) as process:
        os.close(theirs)
        try:
            yield Screen(process, ours, pyte.HistoryScreen(columns, rows, history=1000))
        finally:
            process.kill()
            os.close(ours)


def _take_the_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
