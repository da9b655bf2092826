"""Pydantic's findings in one line each: the place, the value and what is allowed."""

from collections.abc import Sequence, Sized
from typing import get_args

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

#: Path of a fault that no field alone has.
WHOLE = "the whole"
#: Faults of our own whose text says all; the value would only repeat it, or hold a secret.
OURS = frozenset({"twice", "credentials"})
_SHOWN = 60


def describe(error: ValidationError) -> list[str]:
    """One line per fault, each beginning with its path."""
    lines: list[str] = []
    for fault in error.errors(include_url=False, include_context=True):
        path = dotted(fault["loc"]) or WHOLE
        if fault["type"] == "missing":
            lines.append(f"{path}: missing")
        elif fault["type"] == "extra_forbidden":
            lines.append(f"{path}: unknown field")
        else:
            # What fields are together is said in the text, if it was us who checked it.
            ours = fault["type"] in OURS or (fault["type"] == "value_error" and not fault["loc"])
            message = fault["msg"].removeprefix("Value error, ")
            lines.append(f"{path}: {message}{'' if ours else _given(fault['input'])}")
    return lines


def no_truth_value(value: object) -> object:
    """A validator before one for a number: pydantic takes ``true`` for 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("number", "Input should be a number")
    return value


def holds_numbers_only(annotation: object) -> bool:
    """Whether a field of this type is a number, so that a truth value is a mistake in it."""
    inner = {annotation, *get_args(annotation)}
    return not inner.isdisjoint({int, float}) and bool not in inner


def dotted(location: Sequence[int | str]) -> str:
    """``('stages', 0, 'name')`` as ``stages[0].name``."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _given(value: object) -> str:
    """The value itself where it is short and plain, else its size or type."""
    if value is None or isinstance(value, bool | int | float):
        return f", not {value!r}" if value is not None else ", not null"
    if isinstance(value, str):
        if len(value) <= _SHOWN:
            return f", not {value!r}"
        return f" (it has {len(value)})"
    if isinstance(value, Sized):
        return f" ({type(value).__name__} of {len(value)})"
    return f" ({type(value).__name__})"
