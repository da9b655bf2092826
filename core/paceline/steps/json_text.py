"""The JSON objects in a text that a model wrote: after its thoughts, in fences, between prose."""

import json
import re
from collections.abc import Iterator
from typing import cast

#: Objects and broken objects that are looked at in one text.
_TRIES = 64

_NAMES = (
    "think|thinking|thought|thoughts|reason|reasoning|reflection|analysis|scratchpad"
    "|monologue|internal_monologue|inner_monologue"
)
#: Where thoughts begin and end, in the words of the model families that write them.
_BEGIN = re.compile(
    rf"<(?:\w+:)?(?:{_NAMES})>|\[THINK\]|◁think▷|<\|(?:begin_of_thought|START_THINKING|think)\|>"
    r"|<\|channel\|>\s*(?:analysis|commentary)",
    re.IGNORECASE,
)
_END = re.compile(
    rf"</(?:\w+:)?(?:{_NAMES})>|\[/THINK\]|◁/think▷"
    r"|<\|(?:end_of_thought|END_THINKING|/think|begin_of_solution)\|>"
    r"|<\|channel\|>\s*final\b(?:\s*<\|constrain\|>\s*\w+)?\s*<\|message\|>",
    re.IGNORECASE,
)
_OPENING = re.compile(r'\{(?=\s*["}])')
_ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})|\\')
_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])', re.DOTALL)

#: Accepts raw newlines in strings, and NaN.
_decoder = json.JSONDecoder(strict=False)


def objects(text: str) -> Iterator[object]:
    """The decoded objects that can be the answer, the most likely first.

    Thoughts are cut off at their last end marker. Of several objects the last one comes first.
    Slips that leave no doubt are mended: raw newlines and bad escapes in strings, trailing
    commas, JSON that was encoded twice.
    """
    text = text.strip().removeprefix("\ufeff").strip()
    for _ in range(2):
        whole = _decoded(text)
        if not isinstance(whole, str):
            break
        text = whole.strip()
    ends = [mark.start() for mark in _END.finditer(text)]
    last = ends[-1] if ends else -1
    begins = [mark.start() for mark in _BEGIN.finditer(text, max(last, 0))]
    # Thoughts that do not end are no answer.
    until = begins[0] if begins else len(text)
    spans, broken = _scan(text, max(last, 0))
    if broken:
        mended = _mended(text[max(last, 0) :])
        inner, broken_still = _scan(mended, 0)
        for start, end, value in reversed(inner):
            # After the last whole object comes a longer one that is broken: that is the answer.
            if any(
                place > start and len(mended) - place > (end - start) // 2 for place in broken_still
            ):
                return
            if not begins or not _BEGIN.search(mended, 0, start):
                yield value
    else:
        yield from (value for start, _, value in reversed(spans) if start <= until)
    if last >= 0:
        # The marker may stand inside the answer's strings.
        whole_text, _ = _scan(text, 0)
        yield from (value for start, end, value in reversed(whole_text) if start < last < end)


def only_thoughts(text: str) -> bool:
    """Whether a text is nothing but thoughts that do not end."""
    return _BEGIN.match(text.strip()) is not None and _END.search(text) is None


def first_opening(text: str) -> str:
    """The text from where JSON seems to begin, to say what is wrong with it."""
    ends = [mark.end() for mark in _END.finditer(text)]
    rest = text[ends[-1] :] if ends else text
    found = _OPENING.search(rest)
    return rest[found.start() :] if found else rest.strip()


def _scan(text: str, start: int) -> tuple[list[tuple[int, int, object]], list[int]]:
    """The outermost objects from a place on, and the places of broken ones."""
    found: list[tuple[int, int, object]] = []
    broken: list[int] = []
    for _ in range(_TRIES):
        opening = _OPENING.search(text, start)
        if opening is None:
            break
        place = opening.start()
        start = place + 1
        # A whole object inside a broken one is a part of the answer, not the answer.
        if broken and _is_nested(text, place):
            continue
        try:
            value, start = cast("tuple[object, int]", _decoder.raw_decode(text, place))
        except (ValueError, RecursionError):
            broken.append(place)
        else:
            found.append((place, start, value))
    return found, broken


def _is_nested(text: str, place: int) -> bool:
    before = text[max(0, place - 200) : place].rstrip()
    return before.endswith(("[", ",", "{")) or re.search(r'"\s*:$', before) is not None


def _mended(text: str) -> str:
    text = _ESCAPE.sub(lambda found: found[0] if found[1] else "\\\\", text)
    return _COMMA.sub(lambda found: found[1] or "", text)


def _decoded(text: str) -> object:
    if not (text.startswith('"') and text.endswith('"')):
        return None
    try:
        return cast("object", _decoder.decode(text))
    except (ValueError, RecursionError):
        return None
