"""Settings as the text of a ``paceline.toml``."""

import json
import re
from collections.abc import Mapping, Sequence

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")


def toml_text(
    settings: Mapping[str, str | Sequence[str]], first: Mapping[str, str] | None = None
) -> str:
    """Settings by dotted key as TOML that paceline can read.

    Args:
        settings: values as text, or lists of texts. Numbers and booleans are written as such.
        first: lines to put first into tables, by table.
    """
    lines: list[str] = []
    tables: dict[str, list[str]] = {}
    for path, value in settings.items():
        table, key = _split(path)
        (tables.setdefault(table, []) if table else lines).append(f"{_key(key)} = {_value(value)}")
    for table, line in (first or {}).items():
        tables.setdefault(table, []).insert(0, line)
    for table, entries in tables.items():
        lines += ["", f"[{table}]", *entries]
    return "\n".join(lines) + "\n"


def _split(path: str) -> tuple[str, str]:
    """``strategies.NAME.KEY`` as its table and key; a plugin's name may contain dots."""
    section, _, rest = path.partition(".")
    if not rest:
        return "", section
    name, _, key = rest.rpartition(".")
    return ".".join([_key(section), *([_key(name)] if name else [])]), key


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: str | Sequence[str]) -> str:
    if not isinstance(value, str):
        return f"[{', '.join(map(_text, value))}]"
    return value if _NUMBER.fullmatch(value) or value in {"true", "false"} else _text(value)


def _text(value: str) -> str:
    # A JSON string is a TOML string, except for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
