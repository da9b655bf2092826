"""HTML that is escaped by construction: text becomes markup only through ``el``."""

import re
import unicodedata
from html import escape

#: Characters that change the direction of the text around them; they are replaced.
_DIRECTION_MARKS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
#: A name may break after these characters.
_BREAK_POINTS = re.compile(r"(?<=[+:,/ ])")
#: Parts of a name up to this length are not broken.
_UNBROKEN = 20
_VOID = frozenset({"br", "circle", "hr", "input", "line", "meta", "path", "rect", "wbr"})


class Markup(str):
    """Text that is already HTML."""

    __slots__ = ()


def text(value: str) -> Markup:
    """Any text as HTML; markup stays as it is."""
    if isinstance(value, Markup):
        return value
    return Markup(escape(plain(value)))


def plain(value: str) -> str:
    """A text without control characters that could hide or reorder other text."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _unsafe(one) else one for one in value)


def el(tag: str, *children: str, **attributes: object) -> Markup:
    """One element with texts, which are escaped, and markup.

    The attribute ``class_`` is ``class``, and other underscores become hyphens. ``None`` and
    ``False`` are omitted; ``True`` has no value.
    """
    shown = "".join(
        f" {_name(name)}" if value is True else f' {_name(name)}="{text(str(value))}"'
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in _VOID:
        return Markup(
            f"<{tag}{shown}>" if tag in {"br", "hr", "input", "wbr"} else f"<{tag}{shown}/>"
        )
    return Markup(f"<{tag}{shown}>{join(*children)}</{tag}>")


def join(*children: str) -> Markup:
    """Texts and markup in sequence."""
    return Markup("".join(map(text, children)))


def named(value: str) -> Markup:
    """A name from a user: its text direction is isolated, and it breaks between its parts."""
    parts: list[str] = []
    for part in _BREAK_POINTS.split(value):
        unbroken = len(part) <= _UNBROKEN
        parts += [el("span", part, class_="part") if unbroken else part, el("wbr")]
    return el("bdi", *parts[:-1], class_="name")


def _name(attribute: str) -> str:
    return attribute.rstrip("_").replace("_", "-")


def _unsafe(character: str) -> bool:
    if character in _DIRECTION_MARKS:
        return True
    return unicodedata.category(character) in {"Cc", "Cs"} and character not in "\n\t"
