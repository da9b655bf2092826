"""Standard output and errors that cannot fail a command if their reader exits or the disk is full.

A run continues and ends with its exit code even if its output is no longer read.
"""

import errno
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Raw(io.FileIO):
    """A file descriptor. After the first error, all output is discarded."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.error: OSError | None = None

    def write(self, b: "ReadableBuffer", /) -> int:
        if self.error is None:
            try:
                return super().write(b) or 0
            except OSError as error:
                self.error = error
        return memoryview(b).nbytes


class Stdout:
    """Replaces ``sys.stdout`` and ``sys.stderr`` while a command runs."""

    _raw: _Raw | None = None

    @classmethod
    def guard(cls) -> None:
        """Replace both streams, unless a caller in this process has replaced them already."""
        if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
            # The caller closed it. Reopen it, so that no database gets file descriptor 1.
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        stdout, stderr = sys.__stdout__, sys.__stderr__
        if stdout is not None and sys.stdout is stdout:
            cls._raw = _Raw(1)
            sys.stdout = _text(cls._raw, stdout, errors="replace", by_line=stdout.isatty())
        if stderr is not None and sys.stderr is stderr:
            # Without a guard, Python ends with code 120 if the terminal has been closed.
            sys.stderr = _text(_Raw(2), stderr, errors="backslashreplace", by_line=True)

    @classmethod
    def lost(cls) -> str | None:
        """Why output was lost, if it was. A reader that closed its pipe does not count."""
        sys.stdout.flush()
        error = None if cls._raw is None else cls._raw.error
        if error is None or error.errno == errno.EPIPE:
            return None
        return error.strerror or str(error)

    @classmethod
    def end_if_unread(cls) -> None:
        """End a command that only prints, if its output is no longer read.

        Raises:
            click.exceptions.Exit: with 0.
        """
        if cls._raw is not None and cls._raw.error is not None:
            raise click.exceptions.Exit(0)


def _text(raw: _Raw, like: TextIO, *, errors: str, by_line: bool) -> io.TextIOWrapper:
    """A stream of text over a descriptor, in the encoding of the stream that it replaces."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=like.encoding, errors=errors, line_buffering=by_line
    )
