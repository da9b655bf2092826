"""A plugin's options as text, from the pydantic model that declares them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from paceline.contracts.field_descriptions import field_descriptions

_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "matching {}",
}

Schema = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Option:
    """One option; ``default`` is a JSON value, and ``None`` if the option has no default.

    ``bounds`` are the allowed values as text; empty if every value of the type is allowed.
    """

    name: str
    type: str
    default: object
    required: bool
    bounds: str
    description: str

    @property
    def shown_default(self) -> str:
        """The default as it would be written in the settings file."""
        if self.default is None:
            return "(not set)"
        return json.dumps(self.default, ensure_ascii=False, default=str)


def options_of(model: type[BaseModel]) -> Iterator[Option]:
    """The options of a model, in order."""
    schema = cast("Schema", model.model_json_schema())
    properties = cast("Mapping[str, Schema]", schema.get("properties", {}))
    definitions = cast("Mapping[str, Schema]", schema.get("$defs", {}))
    descriptions = field_descriptions(model)
    for name, field in model.model_fields.items():
        described = properties.get(field.alias or name, {})
        variants = [_resolved(one, definitions) for one in _variants(described)]
        default: object = field.default
        if field.default_factory is not None and not field.default_factory_takes_validated_data:
            default = field.get_default(call_default_factory=True)
        values = _table_values(field.annotation)
        yield Option(
            name=name,
            type=" or ".join(dict.fromkeys(_type(one) for one in variants)) or "any",
            default=_plain(default),
            required=field.is_required(),
            bounds="; ".join(text for text in map(_bounds, variants) if text),
            description=" ".join(descriptions[name].split()),
        )
        if values is not None:
            for option in options_of(values):
                yield replace(option, name=f"{name}.KEY.{option.name}")


def _table_values(annotation: object) -> type[BaseModel] | None:
    """The model of the values of a table; ``None`` if the annotation is no table of models."""
    if get_origin(annotation) is not dict:
        return None
    values = get_args(annotation)[1]
    return values if isinstance(values, type) and issubclass(values, BaseModel) else None


def _variants(schema: Schema) -> Sequence[Schema]:
    """The types that a value may have, without null."""
    variants = cast("Sequence[Schema]", schema.get("anyOf", [schema]))
    return [one for one in variants if one.get("type") != "null"]


def _resolved(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return definitions.get(name, schema)


def _type(schema: Schema) -> str:
    if schema.get("format") == "password":
        return "secret"
    if "enum" in schema or "const" in schema:
        return "choice"
    if schema.get("type") == "object":
        return "table"
    if schema.get("type") == "array":
        items = cast("Schema", schema.get("items", {}))
        return f"list of {_type(items)}"
    return str(schema.get("type", "any"))


def _bounds(schema: Schema) -> str:
    choices = cast(
        "Sequence[object]", schema.get("enum", [schema["const"]] if "const" in schema else [])
    )
    if choices:
        return "one of " + ", ".join(map(str, choices))
    return ", ".join(text.format(schema[key]) for key, text in _BOUNDS.items() if key in schema)


def _plain(default: object) -> object:
    if default is PydanticUndefined:
        return None
    if isinstance(default, SecretStr):
        return "********"
    if isinstance(default, BaseModel):
        return default.model_dump(mode="json")
    if isinstance(default, str | int | float | bool | list | dict) or default is None:
        return cast("object", default)
    return str(default)
