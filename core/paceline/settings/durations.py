"""Durations such as ``90d``, as people write them."""

import re
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from paceline.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}
_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdw]?)\s*")
#: How a duration must look, for errors and help.
FORM = "a number of seconds, or a number with s, m, h, d or w, such as 12h or 90d"


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as ``90d``, ``12h`` or ``3600``.

    Raises:
        UsageError: the text is not a duration.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise UsageError(f"must be {FORM}, got {text!r}")
    return float(found[1]) * _UNITS[found[2] or "s"]


def format_duration(seconds: float) -> str:
    """The shortest text without a fraction that ``parse_duration`` reads back."""
    for unit in ("w", "d", "h", "m"):
        if seconds >= _UNITS[unit] and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:g}{unit}"
    return f"{seconds:g}s"


def _from_text(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_duration(value)
    except UsageError:
        raise PydanticCustomError("duration", f"must be {FORM}") from None


#: A field that accepts seconds, or a text such as ``90d``.
Duration = Annotated[float, BeforeValidator(_from_text)]
