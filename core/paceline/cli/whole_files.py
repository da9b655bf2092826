"""Files that are written completely or not at all."""

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from paceline.errors import UsageError


@contextmanager
def draft_of(path: Path, *, replace: bool) -> Generator[BinaryIO]:
    """Open a file that gets its name when the block ends without an error.

    Args:
        path: the file; its folder exists. A symbolic link is replaced, not followed.
        replace: whether an existing file may be replaced.

    Raises:
        UsageError: the file cannot be written, or it exists already.
    """
    draft = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        try:
            with draft.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if not replace:
                path.touch(exist_ok=False)  # a rename would replace an existing file silently
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except FileExistsError:
        raise UsageError(f"{path}: exists already; --force replaces it") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from None


def write_file(path: Path, content: str | bytes, *, replace: bool) -> None:
    """Write a file completely or not at all; text as UTF-8.

    Arguments and errors are those of ``draft_of``.
    """
    with draft_of(path, replace=replace) as file:
        file.write(encoded(content))


def encoded(content: str | bytes) -> bytes:
    """Text as UTF-8, with ``?`` for what has no encoding."""
    return content if isinstance(content, bytes) else content.encode("utf-8", "replace")


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents.

    Raises:
        UsageError: it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be created: {error.strerror or error}") from None


def refuse_existing(paths: list[Path]) -> None:
    """Check that none of the files exists, before the first one is written.

    Raises:
        UsageError: a file exists; the text names the first one.
    """
    existing = [path for path in paths if os.path.lexists(path)]
    if len(existing) == 1:
        raise UsageError(f"{existing[0]} exists already; --force replaces it")
    if existing:
        more = len(existing) - 1
        raise UsageError(
            f"{existing[0]} and {more} more files exist already; --force replaces them"
        )
