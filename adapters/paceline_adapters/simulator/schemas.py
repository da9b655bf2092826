"""JSON schemas: reading them with care, and finding them."""

import json
from collections.abc import Iterator, Mapping
from typing import cast

Schema = Mapping[str, object]

#: Characters of a prompt that are searched for a schema: a hostile one takes quadratic time.
_SEARCHED = 100_000


class SchemaError(ValueError):
    """A schema is broken or asks for what we cannot write."""


def as_schema(value: object, place: str = "schema") -> Schema:
    """The value as a schema; ``true`` is the schema that takes everything."""
    if value is True:
        return {}
    if not isinstance(value, Mapping):
        raise SchemaError(f"{place}: a schema is an object, not {json.dumps(value)[:60]}")
    return cast("Schema", value)


def as_list(value: object, place: str) -> list[object]:
    """The value as a list."""
    if not isinstance(value, list):
        raise SchemaError(f"{place}: a list belongs here")
    return cast("list[object]", value)


def resolved(schema: Schema, root: Schema) -> Schema:
    """The schema with its reference followed and its ``allOf`` merged in; neighbours win."""
    for _ in range(32):
        if "$ref" in schema:
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**_target(schema["$ref"], root), **rest}
        elif "allOf" in schema:
            rest = {key: value for key, value in schema.items() if key != "allOf"}
            for part in as_list(schema["allOf"], "allOf"):
                rest = _merged(rest, resolved(as_schema(part), root))
            schema = rest
        else:
            return schema
    raise SchemaError("a reference leads in a circle")


def _merged(left: Schema, right: Schema) -> dict[str, object]:
    both = {**right, **left}
    if "properties" in left and "properties" in right:
        both["properties"] = {**as_schema(right["properties"]), **as_schema(left["properties"])}
    if "required" in left and "required" in right:
        both["required"] = [
            *as_list(left["required"], "required"),
            *as_list(right["required"], "required"),
        ]
    return both


def _target(reference: object, root: Schema) -> Schema:
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise SchemaError(f"$ref {reference!r}: only references into the schema itself")
    found: object = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if key:
            found = as_schema(found).get(key)
    if found is None:
        raise SchemaError(f"$ref {reference!r} leads nowhere")
    return as_schema(found)


def check_strict(schema: Schema) -> None:
    """Hold a schema against the rules of OpenAI's strict mode.

    Raises:
        SchemaError: OpenAI would refuse it too.
    """
    if resolved(schema, schema).get("type") != "object":
        raise SchemaError("in strict mode the schema's root must be of type 'object'")
    for place, part in _parts(schema, ()):
        if part.get("type") != "object" and "properties" not in part:
            continue
        where = "/".join(place) or "the root"
        if part.get("additionalProperties") is not False:
            raise SchemaError(
                f"In context={where}, 'additionalProperties' is required to be supplied "
                "and to be false."
            )
        names = set(as_schema(part.get("properties", {})))
        if names != set(map(str, as_list(part.get("required", []), "required"))):
            raise SchemaError(
                f"In context={where}, 'required' is required to be supplied and to be an array "
                "including every key in properties."
            )


def _parts(schema: Schema, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Schema]]:
    yield place, schema
    for key in ("properties", "$defs", "definitions"):
        for name, part in as_schema(schema.get(key, {})).items():
            yield from _parts(as_schema(part), (*place, key, name))
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for number, part in enumerate(as_list(schema.get(key, []), key)):
            yield from _parts(as_schema(part), (*place, key, str(number)))
    if "items" in schema:
        yield from _parts(as_schema(schema["items"]), (*place, "items"))


def in_text(text: str) -> Schema | None:
    """The first JSON schema of an object that a prompt quotes.

    Clients whose provider knows no schemas write theirs into the prompt; a good model then
    follows it, so we do.
    """
    decoder = json.JSONDecoder()
    text = text[:_SEARCHED]
    at = text.find("{")
    while at != -1:
        try:
            found, end = cast("tuple[object, int]", decoder.raw_decode(text, at))
        except (ValueError, RecursionError):
            end = at + 1
        else:
            if isinstance(found, dict) and ("properties" in found or "$ref" in found):
                return cast("Schema", found)
        at = text.find("{", end)
    return None
