"""Faults that pydantic finds, one line each: the place, the rule and the value."""

from collections.abc import Mapping, Sequence, Sized
from typing import get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from paceline.text import count

#: Path of a fault that concerns the input as a whole.
WHOLE = "the input"
#: Types of our own faults that already name the value, or must not show it.
_COMPLETE = frozenset({"twice", "credentials", "unlimited"})
_MAX_SHOWN = 60
#: Rules by pydantic's fault type, with the names of pydantic's context.
_RULES: Mapping[str, str] = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text",
    "string_pattern_mismatch": "must match {pattern}",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "missing": "is missing",
    "extra_forbidden": "is not a known field",
}
#: Bounds of a length: the words before the number, and what is counted.
_LENGTHS: Mapping[str, tuple[str, str, str]] = {
    "string_too_short": ("at least", "min_length", "character"),
    "string_too_long": ("at most", "max_length", "character"),
    "too_short": ("at least", "min_length", "item"),
    "too_long": ("at most", "max_length", "item"),
}


def describe(error: ValidationError) -> list[str]:
    """One line per fault; see ``describe_fault``."""
    return [describe_fault(fault) for fault in error.errors()]


def describe_fault(fault: ErrorDetails, *, secret: bool = False) -> str:
    """The path, the rule and the value: ``run.lease must be at least 1, got 0``.

    Args:
        fault: as pydantic describes it.
        secret: leave the value out.
    """
    path, rule = dotted(fault["loc"]) or WHOLE, _rule(fault)
    colon = "" if rule.startswith(("must ", "is ", "names ", "has ")) else ":"
    return f"{path}{colon} {rule}{'' if secret else _value(fault)}"


def _rule(fault: ErrorDetails) -> str:
    kind, context = fault["type"], fault.get("ctx", {})
    if kind in _LENGTHS:
        words, bound, noun = _LENGTHS[kind]
        return f"must have {words} {count(context[bound], noun)}"
    if kind in _RULES:
        return _RULES[kind].format_map(context)
    message = fault["msg"].removeprefix("Value error, ")
    return message.replace("Input should", "must", 1)


def no_truth_value(value: object) -> object:
    """A validator to run before that of a number, because pydantic accepts ``true`` as 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("number", "must be a number")
    return value


def holds_numbers_only(annotation: object) -> bool:
    """Whether a field of this type is a number, so that a truth value is a mistake in it."""
    inner = {annotation, *get_args(annotation)}
    return not inner.isdisjoint({int, float}) and bool not in inner


def known_keys(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """The fields of the model at a path inside another model; empty if there is no model."""
    annotation: object = model
    for part in path:
        inner = _model_in(annotation)
        if inner is not None:
            field = inner.model_fields.get(str(part))
            annotation = None if field is None else field.annotation
        else:  # a table or a list: its values
            annotation = next(reversed(get_args(annotation)), None)
    found = _model_in(annotation)
    return [] if found is None else list(found.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model, also if it is optional."""
    choices = (
        (annotation,)
        if get_origin(annotation) in (dict, list)
        else (annotation, *get_args(annotation))
    )
    return next(
        (one for one in choices if isinstance(one, type) and issubclass(one, BaseModel)), None
    )


def dotted(location: Sequence[int | str]) -> str:
    """``('stages', 0, 'name')`` as ``stages[0].name``."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _value(fault: ErrorDetails) -> str:
    """``, got`` and the value if it is short and plain, else its size or type."""
    kind, value = fault["type"], fault["input"]
    if kind in _COMPLETE or kind in {"missing", "extra_forbidden"}:
        return ""
    if kind == "value_error" and not fault["loc"]:
        return ""  # a check over several fields, which names their values itself
    if value is None:
        return ", got null"
    if isinstance(value, bool | int | float):
        return f", got {value!r}"
    if isinstance(value, str):
        return f", got {value!r}" if len(value) <= _MAX_SHOWN else f", got {len(value)} characters"
    size = f" of {len(value)}" if isinstance(value, Sized) else ""
    return f", got {type(value).__name__}{size}"
