"""Writes a document that matches a JSON schema, with plausible content for known fields."""

import math
import random
import re
from collections.abc import Iterator
from typing import cast

from paceline_adapters.simulator.prose import Prose
from paceline_adapters.simulator.schemas import Schema, SchemaError, as_list, as_schema, resolved

#: Kind of text for a field name: a field of ``Language``.
_TEXTS = {
    "summary": "summaries",
    "description": "summaries",
    "question": "questions",
    "prompt": "questions",
    "explanation": "explanations",
    "options": "options",
    "choices": "options",
    "exercises": "exercises",
    "why": "reasons",
    "reason": "reasons",
}
#: Kind of title for the entries of such a list.
_TITLES = {"sections": "headings", "resources": "resources"}
#: Names of lists that an answer refers to.
_CHOICES = ("options", "choices")
_ANSWER = re.compile("answer|correct|solution")
#: Number of entries of a list by its name, unless the schema sets it.
_COUNTS = {"sections": (3, 5), "questions": (4, 6), "resources": (4, 6), "options": (4, 4)}
_MINUTES = (15, 45)

#: Below this depth only required fields are written, so that recursive schemas end.
_OPTIONAL_DEPTH = 8
_MAX_DEPTH = 60
#: Maximum number of values per document; it bounds the cost of a hostile schema.
_MAX_VALUES = 20_000
_MAX_TEXT = 100_000

_FORMATS = {
    "date": "2026-01-15",
    "time": "09:30:00Z",
    "date-time": "2026-01-15T09:30:00Z",
    "duration": "PT30M",
    "email": "author@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "3f2b8c1e-5d4a-4f6b-9c7d-8e0a1b2c3d4e",
}


class Writer:
    """Writes one document.

    Args:
        wrong: write meaningless values that match the schema.
    """

    def __init__(
        self, root: Schema, rng: random.Random, prose: Prose, *, wrong: bool = False
    ) -> None:
        self._root = root
        self._rng = rng
        self._prose = prose
        self._wrong = wrong
        self._written = 0
        self._sections = 1
        #: Field name of the list that is being written.
        self._within = ""

    def write(self) -> object:
        """The document.

        Raises:
            SchemaError: the schema is invalid, infinitely recursive or too large.
        """
        try:
            return self._value(self._root, "", 0, None)
        except SchemaError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # The schema comes from the client, so a value of the wrong type is the client's error.
            raise SchemaError(f"the schema cannot be read: {error}") from error

    def _value(self, schema: Schema, key: str, depth: int, choices: list[object] | None) -> object:
        self._written += 1
        if depth > _MAX_DEPTH or self._written > _MAX_VALUES:
            raise SchemaError("the schema requires an infinite document")
        schema = resolved(schema, self._root)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._rng.choice(as_list(schema["enum"], "enum"))
        for union in ("anyOf", "oneOf"):
            if union in schema:
                rest = {name: part for name, part in schema.items() if name != union}
                branch = self._branch(as_list(schema[union], union), depth)
                return self._value({**rest, **branch}, key, depth + 1, choices)
        match _type(schema, depth):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, key, depth, choices)
            case "string":
                return self._string(schema, key, choices)
            case "integer":
                return int(self._number(schema, key, choices, integer=True))
            case "number":
                return self._number(schema, key, choices, integer=False)
            case "boolean":
                return self._rng.random() < 0.5
            case "null":
                return None
            case other:
                raise SchemaError(f"unknown JSON Schema type {other!r}")

    def _branch(self, union: list[object], depth: int) -> Schema:
        branches = [resolved(as_schema(branch), self._root) for branch in union]
        nulls = [branch for branch in branches if branch.get("type") == "null"]
        others = [branch for branch in branches if branch.get("type") != "null"]
        if nulls and (depth > _OPTIONAL_DEPTH or not others):
            return nulls[0]
        if depth > _OPTIONAL_DEPTH:  # a leaf ends the recursion
            others.sort(key=lambda branch: branch.get("type") in ("object", "array"))
            return others[0]
        return self._rng.choice(others)

    def _object(self, schema: Schema, depth: int) -> dict[str, object]:
        properties = as_schema(schema.get("properties", {}))
        required = {str(name) for name in as_list(schema.get("required", []), "required")}
        document: dict[str, object] = {}
        choices: list[object] | None = None
        # Choices are written before the answer that refers to them.
        for name in sorted(properties, key=lambda name: name not in _CHOICES):
            if depth <= _OPTIONAL_DEPTH or name in required:
                document[name] = self._value(as_schema(properties[name]), name, depth + 1, choices)
            if name in _CHOICES and isinstance(document.get(name), list):
                choices = cast("list[object]", document[name])
        ordered = {name: document[name] for name in properties if name in document}
        for name in required - set(properties):
            ordered[name] = self._prose.sentence()
        return ordered

    def _array(
        self, schema: Schema, key: str, depth: int, choices: list[object] | None
    ) -> list[object]:
        minimum = int(cast("int", schema.get("minItems", 0)))
        maximum = int(cast("int", schema.get("maxItems", max(minimum, 10))))
        low, high = _COUNTS.get(key, (2, 3))
        if choices and _ANSWER.search(key):
            low = high = 1 if self._wrong else min(2, len(choices))
        if depth > _OPTIONAL_DEPTH:
            low = high = minimum
        count = max(minimum, min(maximum, self._rng.randint(low, high)))
        if count > _MAX_VALUES:
            raise SchemaError(f"minItems {count} is more than {_MAX_VALUES}")
        if key == "sections":
            self._sections = max(1, count)
        distinct = schema.get("uniqueItems") is True or key in _CHOICES or bool(choices)
        if key in _CHOICES:
            self._prose.restart(_TEXTS[key])
        outside, self._within = self._within, key
        items: list[object] = []
        for part in self._item_schemas(schema, count):
            item = self._value(part, key, depth + 1, choices)
            for _ in range(20 * distinct * (not self._wrong)):
                if item not in items:
                    break
                item = self._value(part, key, depth + 1, choices)
            if not distinct or item not in items or len(items) < minimum:
                items.append(item)
        self._within = outside
        return items

    @staticmethod
    def _item_schemas(schema: Schema, count: int) -> Iterator[Schema]:
        first = [as_schema(part) for part in as_list(schema.get("prefixItems", []), "prefixItems")]
        rest = schema.get("items", True)
        for number in range(count):
            if number < len(first):
                yield first[number]
            elif rest is not False:
                yield as_schema(rest)

    def _string(self, schema: Schema, key: str, choices: list[object] | None) -> str:
        minimum = int(cast("int", schema.get("minLength", 0)))
        maximum = int(cast("int", schema.get("maxLength", max(minimum, _MAX_TEXT))))
        if minimum > _MAX_TEXT:
            raise SchemaError(f"minLength {minimum} is more than {_MAX_TEXT}")
        text = self._wrong_text(key, minimum) if self._wrong else self._text(schema, key, choices)
        while len(text) < minimum:
            text += f" {self._prose.sentence()}"
        cut = text[:maximum]
        return cut.rstrip() if len(cut.rstrip()) >= minimum else cut

    def _wrong_text(self, key: str, minimum: int) -> str:
        return "not a url" if key == "url" else " " * minimum

    def _text(self, schema: Schema, key: str, choices: list[object] | None) -> str:
        form = schema.get("format")
        if form in ("uri", "url") or key.endswith("url"):
            return self._prose.url()
        if isinstance(form, str) and form in _FORMATS:
            return _FORMATS[form]
        text = self._by_name(key, choices)
        pattern = schema.get("pattern")
        if isinstance(pattern, str):
            offers = (text, self._prose.url(), self._prose.slug(), *_FORMATS.values(), "a1", "1")
            return next((offer for offer in offers if re.search(pattern, offer)), text)
        return text

    def _by_name(self, key: str, choices: list[object] | None) -> str:
        if choices and _ANSWER.search(key):
            return str(self._rng.choice(choices))
        if key in _TEXTS:
            return self._prose.pick(_TEXTS[key])
        match key:
            case "title" | "name" | "heading":
                return self._prose.pick(_TITLES.get(self._within, "titles"))
            case "content" | "body" | "markdown":
                return self._prose.section(self._prose.size // self._sections)
            case "type":
                return self._rng.choice(("article", "video", "documentation", "course"))
            case "kind":
                return self._rng.choice(("explanation", "example", "practice"))
            case "difficulty" | "level":
                return self._rng.choice(("easy", "medium", "hard"))
            case "language":
                return "python"
            case _:
                return self._prose.sentence()

    def _number(
        self, schema: Schema, key: str, choices: list[object] | None, *, integer: bool
    ) -> float:
        low, high = _bounds(schema, integer=integer)
        if choices and _ANSWER.search(key) and integer:
            base = 1 if low == 1 else 0
            last = len(choices) - 1 + base
            if self._wrong:
                return max(low, min(high, last + 1))
            low, high = max(low, base), min(high, last)
        elif "minutes" in key:
            low = min(max(low, _MINUTES[0]), high)
            high = max(min(high, _MINUTES[1]), low)
        if math.isinf(low) and math.isinf(high):
            low, high = 1, 10
        low = high - 9 if math.isinf(low) else low
        high = low + 9 if math.isinf(high) else high
        step = cast("float", schema.get("multipleOf", 1 if integer else 0))
        if not step:
            drawn = self._rng.uniform(low, high)
            return min(high, max(low, round(drawn, 2)))
        # If no multiple lies between the bounds, the first one above is used.
        first = math.ceil(low / step)
        count = self._rng.randint(first, max(first, math.floor(high / step)))
        return round(count * step, 10)


def _bounds(schema: Schema, *, integer: bool) -> tuple[float, float]:
    """Both bounds, inclusive; an exclusive bound moves inwards by the smallest step."""
    step = 1.0 if integer else 0.01
    low = cast("float", schema.get("minimum", -math.inf))
    high = cast("float", schema.get("maximum", math.inf))
    if "exclusiveMinimum" in schema:
        open_low = cast("float", schema["exclusiveMinimum"])
        low = max(low, math.floor(open_low) + 1 if integer else open_low + step)
    if "exclusiveMaximum" in schema:
        open_high = cast("float", schema["exclusiveMaximum"])
        high = min(high, math.ceil(open_high) - 1 if integer else open_high - step)
    return low, high


def _type(schema: Schema, depth: int) -> str:
    found = schema.get("type")
    if isinstance(found, list):
        types = [str(name) for name in cast("list[object]", found)]
        if "null" in types and depth > _OPTIONAL_DEPTH:
            return "null"
        return next((name for name in types if name != "null"), "null")
    if isinstance(found, str):
        return found
    if "properties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if "minimum" in schema or "maximum" in schema:
        return "number"
    return "string"
