"""Decoding of JSON and YAML, and faults that decoded data can have.

A duplicate key is ambiguous. The decoder keeps it with its object, so that it is reported with
its path together with all other faults.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any, NoReturn, cast

import yaml
from yaml.nodes import MappingNode, Node

from paceline.errors import RoadmapError
from paceline.validation import WHOLE, dotted

#: Maximum depth of nested objects and lists; far more than a roadmap needs.
MAX_DEPTH = 100

#: Types with values that are always valid JSON.
_FINE = frozenset[type]({str, int, bool, type(None)})

_Place = tuple["_Place", str | int] | None


class _Ambiguous(dict[Any, Any]):
    """An object with duplicate keys."""

    def __init__(self, pairs: list[tuple[Any, Any]], twice: set[Any]) -> None:
        super().__init__(pairs)
        self.twice = twice


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
    except yaml.YAMLError as error:
        raise RoadmapError(source, [f"not valid YAML: {_one_line(error)}"]) from None
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
            if isinstance(value, _Ambiguous):
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


def _load_json(text: str) -> object:
    return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Ambiguous(pairs, _twice([k for k, _ in pairs]))


def _twice(keys: list[Any]) -> set[Any]:
    return {key for key, times in Counter(keys).items() if times > 1}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


class _Loader(yaml.SafeLoader):
    """YAML without aliases: a few lines with aliases can expand to gigabytes."""

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="aliases are not allowed", problem_mark=self.get_mark()
            )
        return super().compose_node(parent, index)

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return cast("object", super().construct_object(node, deep))  # pyright: ignore[reportUnknownMemberType]
        except (ValueError, OverflowError) as error:
            # An impossible date, or a tag that does not fit its text.
            what = str(error).partition(";")[0]
            raise yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark) from None

    def construct_ours(self, node: MappingNode) -> Iterator[_Ambiguous]:
        # Filled after it was yielded, as the base loader does.
        found = _Ambiguous([], set())
        yield found
        pairs = len(node.value)
        found.update(self.construct_mapping(node))
        if len(found) < pairs:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            found.twice = _twice(keys)


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_ours)


def _load_yaml(text: str) -> object:
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _one_line(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{error.problem} at line {mark.line + 1}, column {mark.column + 1}"
    return " ".join(str(error).split())
