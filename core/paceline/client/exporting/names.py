"""File names for concepts, safe on every file system."""

import re
import unicodedata

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
