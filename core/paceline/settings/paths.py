"""Dotted keys of settings, and relative paths: in a file they are relative to that file."""

import re
from collections.abc import Sequence
from pathlib import Path

#: One part of a dotted key: quoted, or without dots and quotes. Quotes keep dots, as in TOML.
_PART = re.compile(r"""\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^."'=]*))\s*""")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def split_key(text: str) -> tuple[tuple[str, ...], str] | None:
    """The parts of the dotted key that a text begins with, and the rest of the text.

    ``strategies.global.keys."openai:gpt-4.1-mini".concurrency=3`` has five parts and the rest
    ``=3``. ``None`` if a part is empty.
    """
    parts: list[str] = []
    place = 0
    while match := _PART.match(text, place):
        bare = (match["bare"] or "").strip()
        parts.append(match["double"] or match["single"] or bare)
        place = match.end()
        if not parts[-1]:
            return None
        if not text.startswith(".", place):
            return tuple(parts), text[place:]
        place += 1
    return None


def join_key(path: Sequence[str]) -> str:
    """The dotted key; parts with characters besides letters, digits, ``_-`` are quoted."""
    return ".".join(part if _BARE.fullmatch(part) else f'"{part}"' for part in path)


def path_of(key: str) -> tuple[str, ...]:
    """The parts of a dotted key. A malformed one is a single part, and so an unknown setting."""
    found = split_key(key)
    return (key,) if found is None or found[1] else found[0]


def within(folder: Path, key: tuple[str, ...], value: object) -> object:
    """The value of a settings file, with a relative path in it resolved against its folder."""
    if isinstance(value, str):
        if key == ("store", "url"):
            return absolute_url(value, folder)
        own_prompt = key[0] == "steps" and key[-1] == "prompt"
        if key[0] == "prompts" or own_prompt or key == ("run", "context_schema"):
            return str(folder / value)
        if key[0] == "sinks" and key[-1] == "url" and ":" not in value:
            return str(folder / value)
    return value


def absolute_url(url: str, folder: Path) -> str:
    """A database URL; the path of an SQLite URL becomes absolute. Others stay as they are."""
    scheme, _, path = url.partition(":///")
    if scheme.partition("+")[0] != "sqlite" or not path or path.startswith(("/", ":", "file:")):
        return url
    quoted = str(folder.absolute()).replace("%", "%25").replace("?", "%3F")
    return f"{scheme}:///{quoted.rstrip('/')}/{path}"
