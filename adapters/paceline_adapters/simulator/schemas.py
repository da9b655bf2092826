"""Reads, checks and finds JSON schemas."""

import json
from collections.abc import Iterator, Mapping
from typing import cast

Schema = Mapping[str, object]

#: Characters of a prompt that are searched for a schema; a hostile prompt takes quadratic time.
_SEARCHED = 100_000


class SchemaError(ValueError):
    """A schema is invalid or not supported."""


def as_schema(value: object, path: str = "schema") -> Schema:
    """The value as a schema; ``true`` is the schema that accepts everything."""
    if value is True:
        return {}
    if not isinstance(value, Mapping):
        raise SchemaError(f"{path}: a schema must be an object, got {json.dumps(value)[:60]}")
    return cast("Schema", value)


def as_list(value: object, path: str) -> list[object]:
    """The value as a list."""
    if not isinstance(value, list):
        raise SchemaError(f"{path}: must be a list")
    return cast("list[object]", value)


def resolved(schema: Schema, root: Schema) -> Schema:
    """The schema with its reference followed and ``allOf`` merged; its own keys have priority."""
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
    raise SchemaError("a reference is circular")


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
        raise SchemaError(f"$ref {reference!r}: only references within the schema are supported")
    found: object = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if key:
            found = as_schema(found).get(key)
    if found is None:
        raise SchemaError(f"$ref {reference!r} does not exist")
    return as_schema(found)


def check_strict(schema: Schema) -> None:
    """Check a schema by the rules of OpenAI's strict mode.

    Raises:
        SchemaError: OpenAI would also reject the schema.
    """
    if resolved(schema, schema).get("type") != "object":
        raise SchemaError("in strict mode the schema's root must be of type 'object'")
    for path, part in _parts(schema, ()):
        if part.get("type") != "object" and "properties" not in part:
            continue
        where = "/".join(path) or "the root"
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


def _parts(schema: Schema, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Schema]]:
    yield path, schema
    for key in ("properties", "$defs", "definitions"):
        for name, part in as_schema(schema.get(key, {})).items():
            yield from _parts(as_schema(part), (*path, key, name))
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for number, part in enumerate(as_list(schema.get(key, []), key)):
            yield from _parts(as_schema(part), (*path, key, str(number)))
    if "items" in schema:
        yield from _parts(as_schema(schema["items"]), (*path, "items"))


def in_text(text: str) -> Schema | None:
    """The first JSON schema of an object in a prompt.

    If a provider does not support schemas, clients write the schema into the prompt. Good models
    follow it, and so does the simulator.
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
