"""Text for people: counts, suggestions, and Markdown."""

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import cast

#: Deepest level of Markdown headings.
_DEEPEST = 6


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 roadmap``, ``2 roadmaps``. Give the plural if it is not the noun plus ``s``."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def amount(number: int, *, estimated: bool) -> str:
    """``12,466``, or ``~12,466`` if it is an estimate."""
    return f"~{number:,}" if estimated else f"{number:,}"


def money(value: float, currency: str, *, estimated: bool = False) -> str:
    """``0.0720 USD``, or ``~0.0720 USD`` if it is an estimate."""
    about = "~" if estimated else ""
    # Something that was paid must not look like nothing.
    text = "<0.0001" if 0 < value < 0.00005 else f"{value:,.4f}"
    return f"{about}{text} {currency}"


def parse_pairs(values: Sequence[str], *, form: str) -> dict[str, str]:
    """Parse ``NAME=VALUE`` texts; the last value of a name wins.

    Args:
        values: the texts.
        form: how a text must look, for errors.

    Raises:
        ValueError: a text does not have the form.
    """
    found: dict[str, str] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ValueError(f"must have the form {form}, got {text!r}")
        found[name] = value
    return found


def unknown(what: str, name: str, known: list[str]) -> str:
    """``unknown WHAT``, with the nearest known name and all allowed names."""
    return f"unknown {what}{nearest(name, known)}"


def nearest(name: str, known: list[str]) -> str:
    """``: did you mean X? (allowed: …)``."""
    close = get_close_matches(name.replace("_", "-"), known, 1) or get_close_matches(name, known, 1)
    hint = f": did you mean {close[0]!r}?" if close else ""
    allowed = ", ".join(known) or "none"
    return f"{hint} (allowed: {allowed})"


def plain(text: str) -> str:
    """Escape ``<`` outside of code, so that ``List<String>`` does not vanish as a tag."""
    parts = text.split("`")
    return "`".join(
        part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts)
    )


def link_text(text: str) -> str:
    """Escape text for use between the brackets of a link."""
    return plain(text).replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")


def item(text: str, marker: str = "-") -> str:
    """An item of a list; its further lines are indented so that they belong to it."""
    return f"{marker} " + text.replace("\n", "\n" + " " * (len(marker) + 1))


def outline(value: object, *, level: int = 2) -> str:
    """Any JSON value as Markdown: keys become headings, lists become lists.

    Args:
        value: decoded JSON.
        level: level of the first heading.
    """
    return "\n\n".join(_outlined(value, level))


def _outlined(value: object, level: int) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in cast("Mapping[str, object]", value).items():
            name = key.replace("_", " ").capitalize()
            if _is_flat(inner):
                yield f"**{plain(name)}:** {_flat(inner)}"
            else:
                yield f"{'#' * min(level, _DEEPEST)} {plain(name)}"
                yield from _outlined(inner, level + 1)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        several = cast("Sequence[object]", value)
        if all(_is_flat(inner) for inner in several):
            yield "\n".join(item(_flat(inner)) for inner in several) or "(none)"
        else:
            for number, inner in enumerate(several, 1):
                yield f"{'#' * min(level, _DEEPEST)} {number}"
                yield from _outlined(inner, level + 1)
    else:
        yield _flat(value)


def _is_flat(value: object) -> bool:
    return not isinstance(value, Mapping | list) and "\n" not in str(value)


def _flat(value: object) -> str:
    # Text may be Markdown already.
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
