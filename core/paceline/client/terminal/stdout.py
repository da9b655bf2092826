"""A standard output that cannot fail a command if its reader exits or the disk is full.

A run continues and ends with its exit code even if its output is no longer read.
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
    """File descriptor 1. After the first error, all output is discarded."""

    def __init__(self) -> None:
        super().__init__(1, "w", closefd=False)
        self.error: OSError | None = None

    def write(self, b: "ReadableBuffer", /) -> int:
        if self.error is None:
            try:
                return super().write(b) or 0
            except OSError as error:
                self.error = error
        return memoryview(b).nbytes


class Stdout:
    """Replaces ``sys.stdout`` while a command runs."""

    _raw: _Raw | None = None

    @classmethod
    def guard(cls) -> None:
        """Replace ``sys.stdout``, unless a caller in this process has replaced it already."""
        if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
            # The caller closed it. Reopen it, so that no database gets file descriptor 1.
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
