"""Slips in an answer that leave no doubt: they are mended, and no second call is paid."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

AnswerT = TypeVar("AnswerT", bound=BaseModel)

_LETTER = re.compile(r"\(?([A-Ja-j])[).:]?")
_WHOLE_NUMBER = re.compile(r"\s*-?\d{1,15}(?:\.0+)?\s*")
#: Rounds of validation: one slip may hide another.
_ROUNDS = 4


class Droppable:
    """Marks a list: bad items may be left out if at least one good one remains."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """One kind of slip.

    Attributes:
        slip: what the model wrote, for the docs.
        types: the types of pydantic's errors that it causes.
        mended: the value to put there, or ``None`` if it is not this slip.
    """

    slip: str
    types: frozenset[str]
    mended: Callable[[ErrorDetails, Any], object | None]


def _enum_case(error: ErrorDetails, root: Any) -> object | None:  # noqa: ARG001
    given = error["input"]
    expected = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
    if not isinstance(given, str):
        return None
    fits = [one for one in expected if _folded(one) == _folded(given)]
    return fits[0] if len(fits) == 1 else None


def _folded(text: str) -> str:
    return re.sub(r"[\s_-]+", "_", text.strip().casefold())


def _number(error: ErrorDetails, root: Any) -> object | None:  # noqa: ARG001
    given = error["input"]
    if isinstance(given, str) and _WHOLE_NUMBER.fullmatch(given):
        return int(float(given))
    return None


def _letter(error: ErrorDetails, root: Any) -> object | None:
    given, place = error["input"], error["loc"]
    question = _at(root, place[: place.index("answer")]) if "answer" in place else None
    options = cast("Mapping[str, object]", question).get("options") if question else None
    found = _LETTER.fullmatch(given.strip()) if isinstance(given, str) else None
    texts = _items(options)
    if found is None or texts is None:
        return None
    index = ord(found[1].upper()) - ord("A")
    # An option that is a letter itself may be meant by its text: both must be the same one.
    for number, option in enumerate(texts):
        if isinstance(option, str) and len(option.strip()) == 1:
            by_text = option.strip().upper() == found[1].upper()
            if by_text != (number == index):
                return None
    return index if index < len(texts) else None


def _counted_from_one(error: ErrorDetails, root: Any) -> object | None:
    """Shift all answers of the quiz if one points just behind the options, and none is 0."""
    questions = _items(_at(root, ("questions",)))
    if questions is None:
        return None
    shifted: list[list[int]] = []
    for question in questions:
        answer, options = _at(question, ("answer",)), _items(_at(question, ("options",)))
        places: list[object] = _items(answer) or [answer]
        if options is None or not all(
            type(place) is int and 1 <= place <= len(options) for place in places
        ):
            return None
        shifted.append([cast("int", place) - 1 for place in places])
    for question, answer in zip(questions, shifted, strict=True):
        question["answer"] = answer
    return cast("object", _at(root, error["loc"]))


def _each_once(error: ErrorDetails, root: Any) -> object | None:
    given = _items(_at(root, error["loc"]))
    return None if given is None else list(dict.fromkeys(given))


def _address(error: ErrorDetails, root: Any) -> object | None:  # noqa: ARG001
    given = error["input"]
    if isinstance(given, str) and given.strip().lower().startswith("www."):
        return f"https://{given.strip()}"
    return None


def _encoded(error: ErrorDetails, root: Any) -> object | None:  # noqa: ARG001
    given = error["input"]
    if not isinstance(given, str) or given.strip()[:1] not in ("[", "{"):
        return None
    try:
        return cast("object", json.loads(given, strict=False))
    except (ValueError, RecursionError):
        return None


NORMALISATIONS: tuple[Normalisation, ...] = (
    Normalisation(
        "another case of an allowed word: `Easy`", frozenset({"literal_error", "enum"}), _enum_case
    ),
    Normalisation(
        'a number as text: `"1"`',
        frozenset({"int_type", "int_parsing", "int_from_float", "float_type", "float_parsing"}),
        _number,
    ),
    Normalisation(
        "a quiz answer as a letter, unless an option with that letter is at another position",
        frozenset({"int_type", "int_parsing"}),
        _letter,
    ),
    Normalisation(
        "quiz answers counted from 1, if one of them points behind the last option and none is 0",
        frozenset({"answer_range"}),
        _counted_from_one,
    ),
    Normalisation("a quiz answer named twice", frozenset({"answer_twice"}), _each_once),
    Normalisation("an address that begins with `www.`", frozenset({"url"}), _address),
    Normalisation(
        "a list or an object encoded as text",
        frozenset({"list_type", "model_type", "dict_type", "model_attributes_type"}),
        _encoded,
    ),
)


def mend(model: type[AnswerT], value: object) -> AnswerT:
    """Validate a decoded answer; mend what leaves no doubt.

    Raises:
        ValidationError: what remains wrong; the places are those of the value as it came.
    """
    first: ValidationError | None = None
    for _ in range(_ROUNDS):
        try:
            return model.model_validate_json(json.dumps(value))
        except ValidationError as error:
            first = first or error
            faults = error.errors(include_url=False)
            if not _mend_each(faults, value) and not _drop_bad_items(model, faults, value):
                break
    raise first or ValueError(value)


def _mend_each(faults: list[ErrorDetails], value: object) -> bool:
    changed = False
    for fault in faults:
        for row in NORMALISATIONS:
            if fault["type"] in row.types:
                mended = row.mended(fault, value)
                if mended is not None and _put(value, fault["loc"], mended):
                    changed = True
                    break
    return changed


def _drop_bad_items(model: type[BaseModel], faults: list[ErrorDetails], value: object) -> bool:
    """Leave out the bad items of one list; every fault must be in such a list."""
    names = {
        name
        for name, field in model.model_fields.items()
        if any(isinstance(one, Droppable) for one in field.metadata)
    }
    bad: dict[str, set[int]] = {}
    for fault in faults:
        name, *rest = fault["loc"] or ("",)
        if name not in names or not rest or not isinstance(rest[0], int):
            return False
        bad.setdefault(str(name), set()).add(rest[0])
    for name, places in bad.items():
        items = _items(_at(value, (name,)))
        if items is None or len(items) <= len(places):
            return False
        _put(value, (name,), [one for n, one in enumerate(items) if n not in places])
    return bool(bad)


def _items(value: object) -> list[Any] | None:
    return value if isinstance(value, list) else None  # pyright: ignore[reportUnknownVariableType]


def _at(value: Any, place: tuple[int | str, ...]) -> Any:
    for part in place:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _put(root: Any, place: tuple[int | str, ...], value: object) -> bool:
    if not place:
        return False
    holder, last = _at(root, place[:-1]), place[-1]
    if isinstance(holder, dict) or (isinstance(holder, list) and isinstance(last, int)):
        cast("Any", holder)[last] = value
        return True
    # A single value that a validator made a list of.
    return last == 0 and _put(root, place[:-1], value)
