"""Safe file names, and files that are written completely or not at all."""

import os
import re
import secrets
import unicodedata
from pathlib import Path

from paceline.errors import UsageError

#: Maximum bytes of a name; leaves room for a prefix and a suffix on every file system.
_MAX_BYTES = 120
_UNSAFE = re.compile(r"[^\w.-]+")


def safe_name(text: str) -> str:
    """A file name made of ``text``: letters and digits of any script, ``-``, ``_`` and ``.``.

    The name may be empty, and two texts may get the same name; see ``numbered_name``.
    """
    name = _UNSAFE.sub("-", unicodedata.normalize("NFC", text)).strip("-.")
    encoded = name.encode("utf-8", "ignore")[:_MAX_BYTES]
    return encoded.decode("utf-8", "ignore").strip("-.")


def numbered_name(number: int, of: int, text: str) -> str:
    """``007-text``: unique per number, and sorted by number on every file system."""
    name = safe_name(text)
    digits = str(number).zfill(len(str(of)))
    return f"{digits}-{name}" if name else digits


def write_file(path: Path, text: str, *, replace: bool) -> None:
    """Write a file completely or not at all.

    Args:
        path: the file; its folder exists. A symbolic link is replaced, not followed.
        text: the content.
        replace: whether an existing file may be replaced.

    Raises:
        UsageError: the file cannot be written, or it exists already.
    """
    draft = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        try:
            with draft.open("x", encoding="utf-8", errors="replace", newline="\n") as file:
                file.write(text)
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
