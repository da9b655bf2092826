"""From a pydantic JSON schema to what strict structured outputs accept.

They take a part of JSON schema only, and refuse the call for anything else: every property
is required, no object is open, and few keywords are known. A bound that cannot be said in
the schema is said in the description, where the model still reads it.
"""

from collections.abc import Mapping
from typing import cast

from paceline.contracts.provider import JsonSchema

#: Keywords that every server with strict outputs knows.
_KEPT = ("type", "enum", "const", "description")
#: Bounds that OpenAI knows, but not every server that claims to be compatible.
BOUNDS = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
)

_WORDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "matching {}",
    "format": "in the form of a {}",
}

Json = dict[str, object]


class NotStrictError(Exception):
    """The schema says something that strict outputs cannot: an open object, any value."""


def strict_schema(schema: JsonSchema, *, bounds: bool = True) -> Json:
    """The schema as strict structured outputs accept it.

    Args:
        schema: as ``BaseModel.model_json_schema`` makes it.
        bounds: whether to keep bounds of numbers and lists as keywords; if not, they move
            into the descriptions.

    Raises:
        NotStrictError: it cannot be said strictly.
    """
    definitions = _mapping(schema.get("$defs"))
    converter = _Converter(definitions, bounds=bounds)
    root = dict(schema)
    if set(root) - {"$defs"} == {"$ref"}:  # a model that contains itself
        root = dict(converter.resolve(root["$ref"]))
    result = converter.convert(root)
    if result.get("type") != "object":
        raise NotStrictError("the answer is not an object")
    if definitions:
        result["$defs"] = {
            name: converter.convert(_mapping(definition))
            for name, definition in definitions.items()
        }
    return result


class _Converter:
    def __init__(self, definitions: Mapping[str, object], *, bounds: bool) -> None:
        self._definitions = definitions
        self._numeric = BOUNDS if bounds else ()

    def resolve(self, ref: object) -> Mapping[str, object]:
        name = str(ref).removeprefix("#/$defs/")
        if name not in self._definitions:
            raise NotStrictError(f"it refers to {ref}")
        return _mapping(self._definitions[name])

    def convert(self, schema: Mapping[str, object]) -> Json:
        if "$ref" in schema:
            self.resolve(schema["$ref"])
            # Nothing may stand beside a reference; the definition describes itself.
            return {"$ref": schema["$ref"]}
        parts = _list(schema.get("allOf"))
        if len(parts) == 1:
            beside = {key: value for key, value in schema.items() if key != "allOf"}
            return self.convert({**_mapping(parts[0]), **beside})
        result = {key: schema[key] for key in _KEPT if key in schema}
        choices = _list(schema.get("anyOf")) or _list(schema.get("oneOf"))
        if choices:
            result["anyOf"] = [self.convert(_mapping(choice)) for choice in choices]
        elif not result.keys() & {"type", "enum", "const"}:
            raise NotStrictError("it allows any value")
        self._convert_object(schema, result)
        self._convert_list(schema, result)
        self._convert_bounds(schema, result)
        return result

    def _convert_object(self, schema: Mapping[str, object], result: Json) -> None:
        if schema.get("type") != "object":
            return
        properties = _mapping(schema.get("properties"))
        if not properties or isinstance(schema.get("additionalProperties"), Mapping):
            raise NotStrictError("it holds an object with names of any kind")
        result["properties"] = {
            name: self.convert(_mapping(part)) for name, part in properties.items()
        }
        result["required"] = list(properties)
        result["additionalProperties"] = False

    def _convert_list(self, schema: Mapping[str, object], result: Json) -> None:
        if schema.get("type") != "array":
            return
        places = _list(schema.get("prefixItems"))
        if places:
            result["items"] = {"anyOf": [self.convert(_mapping(place)) for place in places]}
        else:
            result["items"] = self.convert(_mapping(schema.get("items")))

    def _convert_bounds(self, schema: Mapping[str, object], result: Json) -> None:
        said: list[str] = []
        for keyword, words in _WORDS.items():
            if keyword not in schema:
                continue
            if keyword in self._numeric:
                result[keyword] = schema[keyword]
            else:
                said.append(words.format(schema[keyword]))
        if said:
            about = str(schema.get("description", "")).strip()
            result["description"] = f"{about} ({', '.join(said)})".strip()


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []
