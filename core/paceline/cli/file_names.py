"""Safe names and whole files: ids hold anything, and a cut-off export is worse than none."""

import os
import re
import secrets
import unicodedata
from pathlib import Path

from paceline.errors import UsageError

#: Bytes of a name at most, so that prefix and suffix still fit any file system.
_LONGEST = 120
_UNSAFE = re.compile(r"[^\w.-]+")


def safe_name(text: str) -> str:
    """A file name made of ``text``: letters and digits of any script, ``-``, ``_`` and ``.``.

    Two texts may become the same name: whoever needs different ones adds a number. May be
    empty.
    """
    name = _UNSAFE.sub("-", unicodedata.normalize("NFC", text)).strip("-.")
    encoded = name.encode("utf-8", "ignore")[:_LONGEST]
    return encoded.decode("utf-8", "ignore").strip("-.")


def numbered_name(number: int, of: int, text: str) -> str:
    """``007-text``: different for each number, in their order, on every file system."""
    name = safe_name(text)
    digits = str(number).zfill(len(str(of)))
    return f"{digits}-{name}" if name else digits


def write_whole(path: Path, text: str, *, replace: bool) -> None:
    """Write a file so that it is there as a whole or not at all.

    Args:
        path: where; its folder exists. A symbolic link is replaced, not followed.
        text: what.
        replace: whether a file that is there may be replaced.

    Raises:
        UsageError: it cannot be written, or is there already.
    """
    draft = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        try:
            with draft.open("x", encoding="utf-8", errors="replace", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if not replace:
                _claim(path)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except FileExistsError:
        raise UsageError(f"{path}: is there already; --force replaces it") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from None


def _claim(path: Path) -> None:
    """Take the name as an empty file: fails if it is taken, which a rename would not."""
    path.touch(exist_ok=False)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be made: {error.strerror or error}") from None


def refuse_existing(paths: list[Path]) -> None:
    """Refuse to go on where one of the files is there, before any is written.

    Raises:
        UsageError: naming the first.
    """
    taken = [path for path in paths if os.path.lexists(path)]
    if taken:
        more = f" and {len(taken) - 1} more files" if len(taken) > 1 else ""
        there = "are" if more else "is"
        raise UsageError(f"{taken[0]}{more} {there} there already; --force replaces them")
