"""Decoding of JSON and YAML, and faults that decoded data can have.

A duplicate key is ambiguous. The decoder keeps it with its object, so that it is reported with
its path together with all other faults.
"""

import json
import math
from datetime import date
from typing import NoReturn, cast

from paceline.errors import RoadmapError
from paceline.roadmaps.raw import Ambiguous, YamlFault, twice_in
from paceline.validation import WHOLE, dotted

#: Maximum depth of nested objects and lists; far more than a roadmap needs.
MAX_DEPTH = 100

#: Types with values that are always valid JSON.
_FINE = frozenset[type]({str, int, bool, type(None)})

_Place = tuple["_Place", str | int] | None


def decode(raw: bytes, *, yaml_allowed: bool, source: str) -> object:
    """Decode JSON or YAML text of bounded size.

    Raises:
        RoadmapError: it is neither; the text names the place.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RoadmapError(source, [f"not UTF-8 at byte {error.start}"]) from None
    try:
        if yaml_allowed and not text.lstrip().startswith("{"):
            return _load_yaml(text)
        try:
            return _load_json(text)
        except json.JSONDecodeError:
            if not yaml_allowed:
                raise
            return _load_yaml(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise RoadmapError(source, [f"not valid JSON at {place}: {error.msg}"]) from None
    except YamlFault as error:
        raise RoadmapError(source, [f"not valid YAML: {error}"]) from None
    except ValueError as error:
        what = str(error).partition(";")[0]
        raise RoadmapError(source, [f"not valid JSON: {what}"]) from None
    except RecursionError:
        raise RoadmapError(source, ["nested too deeply"]) from None


def json_faults(data: object) -> list[str]:
    """Faults that keep data from being JSON, one line each with its path.

    These are: NaN and infinity, values of other types, duplicate keys, and nesting beyond
    ``MAX_DEPTH``. Dates are allowed, because YAML decodes them and JSON has them as text.
    """
    faults: list[str] = []
    pending: list[tuple[_Place, object, int]] = [(None, data, 0)]
    while pending:
        place, value, depth = pending.pop()
        if depth > MAX_DEPTH:
            return [f"nested too deeply: at most {MAX_DEPTH} levels are allowed"]
        # Most values need no second look, and a body may hold millions of them.
        passed_over = _FINE if depth < MAX_DEPTH else frozenset[type]()
        if isinstance(value, dict):
            found = cast("dict[object, object]", value)
            if isinstance(value, Ambiguous):
                keys = sorted(map(str, value.twice))
                faults += [f"{_path((place, key))}: duplicate key" for key in keys]
            faults += [
                f"{_path((place, str(key)))}: a key must be text, got {type(key).__name__}"
                for key in found
                if not isinstance(key, str | int | float | date | None)
            ]
            pending += [
                ((place, str(key)), inner, depth + 1)
                for key, inner in found.items()
                if type(inner) not in passed_over
            ]
        elif isinstance(value, list):
            members = cast("list[object]", value)
            pending += [
                ((place, at), inner, depth + 1)
                for at, inner in enumerate(members)
                if type(inner) not in passed_over
            ]
        elif isinstance(value, float) and not math.isfinite(value):
            faults.append(f"{_path(place)}: {value} is not a JSON number")
        elif value is not None and not isinstance(value, str | int | float | date):
            faults.append(f"{_path(place)}: {type(value).__name__} is not a JSON value")
    return faults


def _path(place: _Place) -> str:
    parts: list[str | int] = []
    while place is not None:
        place, part = place
        parts.append(part)
    return dotted(parts[::-1]) or WHOLE


def _load_yaml(text: str) -> object:
    from paceline.roadmaps.yaml_text import load_yaml  # most texts are JSON

    return load_yaml(text)


def _load_json(text: str) -> object:
    return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Ambiguous(pairs, twice_in([k for k, _ in pairs]))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
