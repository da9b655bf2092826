"""The context of a run: any JSON object that is given at submit, such as a learner's profile."""

import json
from collections.abc import Mapping
from datetime import date
from typing import cast

from paceline.errors import ContextError
from paceline.roadmaps.decoding import json_faults
from paceline.validation import WHOLE

#: Maximum size of a context, in bytes of JSON.
MAX_CONTEXT = 64 * 1024

#: The place of a context in errors.
PLACE = "context"


def checked_context(given: object) -> dict[str, object]:
    """The context as a plain JSON object. Dates, which YAML and TOML have, become text.

    Raises:
        ContextError: it is not an object, has values that JSON does not have, text that is not
            valid Unicode, or more than ``MAX_CONTEXT`` bytes. The error names every place.
    """
    if not isinstance(given, Mapping):
        raise ContextError([f"{PLACE} must be an object, got {type(given).__name__}"])
    mapping = cast("Mapping[object, object]", given)
    # The decoder's own kind of dict knows which keys are duplicate, so it is not copied.
    found = mapping if isinstance(mapping, dict) else dict(mapping)
    faults = [_placed(fault) for fault in json_faults(found)]
    if faults:
        raise ContextError(faults)
    context = cast("dict[str, object]", _plain(found, PLACE, faults))
    if faults:
        raise ContextError(faults)
    try:
        size = len((context_to_json(context) or "").encode())
    except ValueError:  # a number with thousands of digits
        raise ContextError([f"{PLACE}: a number has too many digits"]) from None
    if size > MAX_CONTEXT:
        raise ContextError([f"{PLACE} must have at most {MAX_CONTEXT} bytes of JSON, got {size}"])
    return context


def context_to_json(context: Mapping[str, object]) -> str | None:
    """Canonical JSON of a context, as stores keep and compare it; ``None`` if it is empty."""
    if not context:
        return None
    return json.dumps(context, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def context_from_json(text: str | None) -> dict[str, object]:
    """The context that ``context_to_json`` gave."""
    return {} if text is None else cast("dict[str, object]", json.loads(text))


def _placed(fault: str) -> str:
    return f"{PLACE}{fault.removeprefix(WHOLE)}" if fault.startswith(WHOLE) else f"{PLACE}.{fault}"


def _plain(value: object, place: str, faults: list[str]) -> object:
    if isinstance(value, str):
        if not _is_unicode(value):
            faults.append(f"{place}: the text contains half of a surrogate pair")
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        members = cast("list[object]", value)
        return [_plain(inner, f"{place}[{at}]", faults) for at, inner in enumerate(members)]
    if isinstance(value, dict):
        plain: dict[str, object] = {}
        for key, inner in cast("dict[object, object]", value).items():
            if not isinstance(key, str) or not _is_unicode(key):
                faults.append(f"{place}: a key must be text, got {key!r}")
                continue
            plain[key] = _plain(inner, f"{place}.{key}", faults)
        return plain
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
