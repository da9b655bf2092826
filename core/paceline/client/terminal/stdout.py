"""Standard output that cannot fail a command: its reader may leave, its disk may be full.

What a command does is worth more than what it says: a run goes on and its exit code tells what
came of it, whether or not somebody still reads.
"""

import errno
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Raw(io.FileIO):
    """File descriptor 1; after the first fault, what is written goes nowhere."""

    def __init__(self) -> None:
        super().__init__(1, "w", closefd=False)
        self.trouble: OSError | None = None

    def write(self, b: "ReadableBuffer", /) -> int:
        if self.trouble is None:
            try:
                return super().write(b) or 0
            except OSError as error:
                self.trouble = error
        return memoryview(b).nbytes


class Stdout:
    """``sys.stdout`` for the time of a command."""

    _raw: _Raw | None = None

    @classmethod
    def guard(cls) -> None:
        """Put ours in the place of ``sys.stdout``, unless a caller in this process has done so."""
        if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
            # Closed by who called us. Taken at once, so that no database gets its number.
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        stdout = sys.__stdout__
        if stdout is None or sys.stdout is not stdout:
            return
        cls._raw = _Raw()
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(cls._raw),
            encoding=stdout.encoding,
            errors="replace",
            line_buffering=stdout.isatty(),
        )

    @classmethod
    def trouble(cls) -> str | None:
        """Why output was lost, if it was; a reader who has seen enough is no trouble."""
        sys.stdout.flush()
        error = None if cls._raw is None else cls._raw.trouble
        if error is None or error.errno == errno.EPIPE:
            return None
        return error.strerror or str(error)

    @classmethod
    def end_if_unread(cls) -> None:
        """End a command that does nothing but tell, once nobody listens.

        Raises:
            click.exceptions.Exit: with 0.
        """
        if cls._raw is not None and cls._raw.trouble is not None:
            raise click.exceptions.Exit(0)
