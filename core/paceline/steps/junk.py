"""Answers that have the right form and say nothing: loops, and echoes of the prompt."""

import re
import zlib
from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Sequence
from typing import Literal, TypeVar, cast, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticCustomError

ItemT = TypeVar("ItemT")

#: A value that occurs at least so often, and in more than half of the places, is a loop.
OFTEN = 3
#: The same for lines of a text; short lines such as brackets may repeat.
OFTEN_LINES, LONG_LINE = 6, 20
#: Texts from this length on that shrink to less than this share are loops.
LONG_TEXT, SHRINKS_TO = 1500, 0.04
#: The same for an answer that was cut off; JSON shrinks more than prose.
LONG_ANSWER, ANSWER_SHRINKS_TO = 1500, 0.1
_WORD = re.compile(r"[^\W\d_]+")


def loop_in(values: Sequence[Hashable], often: int = OFTEN) -> tuple[Hashable, int] | None:
    """The value that fills more than half of a list, and how often it occurs."""
    if len(values) < often:
        return None
    value, times = Counter(values).most_common(1)[0]
    return (value, times) if times >= often and times * 2 > len(values) else None


def check_loop(what: str, values: Sequence[Hashable], often: int = OFTEN) -> None:
    """Refuse a list that repeats one value.

    Raises:
        PydanticCustomError: one value occurs ``often`` times, and in more than half of the places.
    """
    if (found := loop_in(values, often)) is not None:
        raise PydanticCustomError(
            "repeated",
            "must differ, but {what} {value} occurs {times} times",
            {"what": what, "value": repr(str(found[0])[:60]), "times": found[1]},
        )


def without_repeats(items: list[ItemT]) -> list[ItemT]:
    """The items, each once; the first of equal ones stays."""
    kept: list[ItemT] = []
    for item in items:
        if item not in kept:
            kept.append(item)
    return items if len(kept) == len(items) else kept


def check_text(text: str) -> str:
    """A text that does not loop.

    Raises:
        PydanticCustomError: it repeats one line or one phrase over and over.
    """
    lines = [line.strip() for line in text.splitlines() if len(line.strip()) >= LONG_LINE]
    found = loop_in(lines, OFTEN_LINES)
    if found is not None:
        raise PydanticCustomError(
            "repeated",
            "must not repeat the line {line} {times} times",
            {"line": repr(str(found[0])[:60]), "times": found[1]},
        )
    if len(text) >= LONG_TEXT:
        raw = text.encode("utf-8", "replace")
        if len(zlib.compress(raw, 1)) < SHRINKS_TO * len(raw):
            raise PydanticCustomError("repeated", "must not repeat one phrase over and over")
    return text


def check_words(text: str) -> str:
    """A text that contains words, and not only numbers or marks such as ``1.1``.

    Raises:
        PydanticCustomError: it does not.
    """
    if not _WORD.search(text):
        raise PydanticCustomError("number", "must be a text, not only numbers or marks")
    return text


def adds_words(text: str, *others: str) -> bool:
    """Whether a text contains a word that none of the others contains."""
    known = {word for other in others for word in _words(other)}
    return not _words(text) <= known


def repeats_itself(answer: str) -> bool:
    """Whether a long answer is mostly one phrase over and over."""
    raw = " ".join(answer.split()).encode("utf-8", "replace")
    return len(raw) >= LONG_ANSWER and len(zlib.compress(raw, 1)) < ANSWER_SHRINKS_TO * len(raw)


def _words(text: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(text)}


def echoes(answer: BaseModel, ids: Collection[str]) -> str | None:
    """The id of the prompt that an answer repeats in place of at least half of its texts."""
    texts = [text.strip() for text in _texts(answer)]
    copied = [text for text in texts if text in ids]
    return copied[0] if len(copied) >= 2 and len(copied) * 2 >= len(texts) else None


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            if get_origin(field.annotation) is not Literal:
                yield from _texts(getattr(value, name))
    elif isinstance(value, list | tuple):
        for one in cast("Sequence[object]", value):
            yield from _texts(one)
    elif isinstance(value, dict):
        for one in cast("dict[object, object]", value).values():
            yield from _texts(one)
