"""The settings file as a JSON schema, for editors and for checks in CI.

The schema is stricter than the loader in one way: a number must be a number, not a text. What
depends on several values, for example a model that a step names, only the loader can check.
"""

from collections.abc import Mapping
from types import NoneType
from typing import Any, cast

from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError

from paceline.contracts.options import Options
from paceline.plugins.built_ins import Kind
from paceline.plugins.registry import Plugins
from paceline.settings.load import BY_PLUGIN
from paceline.settings.model import Settings, SinkSettings, StepSettings

Schema = dict[str, Any]

#: The dialect that editors for TOML read.
DIALECT = "http://json-schema.org/draft-07/schema#"
#: Lists that may also be written as ``"a,b"``.
_LISTS_AS_TEXT = frozenset(
    {"strategy", "steps", "model", "needs", "checks", "kinds", "hosts", "origins"}
)
#: Sections that have keys of paceline and options of a plugin in one table.
_OPEN: Mapping[str, tuple[type[Options], Kind]] = {
    "steps": (StepSettings, "step"),
    "sinks": (SinkSettings, "sink"),
}


def settings_schema(plugins: Plugins) -> Schema:
    """The schema of ``paceline.toml``, with the options of all installed plugins."""
    found = _Definitions()
    schema = found.of(Settings, "settings")
    properties: Schema = schema["properties"]
    for section, kind in BY_PLUGIN.items():
        offers = {
            name: found.of(plugins.offer(kind, name).options, f"{kind} {name}")
            for name in plugins.names(kind)
        }
        properties[section] = {
            "type": "object",
            "description": properties[section]["description"],
            "properties": _both_spellings(offers),
            "additionalProperties": False,
        }
    for section, (base, kind) in _OPEN.items():
        common = found.of(base, section)
        _accept_texts(common["properties"])
        other = {**common, "required": ["use"]}
        own = {
            name: {"anyOf": [_joined(common, found.of(options, f"{kind} {name}")), other]}
            for name in plugins.names(kind)
            for options in [plugins.offer(kind, name).options]
        }
        properties[section] = {
            "type": "object",
            "description": properties[section]["description"],
            "properties": _both_spellings(own),
            "additionalProperties": other,
        }
    for one in (properties, *(one.get("properties", {}) for one in found.all())):
        _accept_texts(one)
    _name_parts(properties, found, plugins)
    return {
        "$schema": DIALECT,
        **_without_null({**schema, "title": "Settings of paceline", "$defs": found.definitions}),
    }


class _Definitions:
    """The models that others refer to, each under a name that no other plugin's model has."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}

    def of(self, model: type[Options], prefix: str) -> Schema:
        """The schema of a model; any table if it has none."""
        try:
            schema = model.model_json_schema(ref_template=f"#/$defs/{prefix} {{model}}")
        except (PydanticInvalidForJsonSchema, PydanticUserError):
            return {"type": "object", "description": (model.__doc__ or "").strip()}
        for name, one in schema.pop("$defs", {}).items():
            self.definitions[f"{prefix} {name}"] = one
        schema.pop("title", None)
        return schema

    def all(self) -> list[Schema]:
        """Every definition."""
        return list(self.definitions.values())

    def settings(self, model: str) -> Schema:
        """The properties of a section of the settings."""
        found: Schema = self.definitions[f"settings {model}"]["properties"]
        return found


def _name_parts(properties: Schema, found: _Definitions, plugins: Plugins) -> None:
    """Let keys that choose a part accept only the names of installed ones."""

    def names(kind: Kind, *more: str) -> list[str]:
        return sorted({*plugins.names(kind), *more})

    array, _ = properties["strategy"]["anyOf"]
    array["items"]["enum"] = names("strategy")
    properties["executor"]["enum"] = names("executor")
    properties["telemetry"]["enum"] = names("telemetry", "auto", "none")
    properties["prompts"]["propertyNames"] = {"enum": names("step")}
    found.settings("ProviderSettings")["name"]["enum"] = names("provider")
    found.settings("EventSettings")["bus"]["enum"] = names("event-bus", "auto")
    # Their values are validated from another form first.
    keys = found.settings("ResourceSettings")
    texts = {"type": "array", "items": {"type": "string"}}
    keys["keys"] = {
        "description": keys["keys"]["description"],
        "anyOf": [keys["keys"], texts, {"type": "string"}],
    }
    retention = found.settings("RetentionSettings")
    retention["ended_runs"]["anyOf"].append(
        {"type": "string", "pattern": "^ *[0-9.]+ *[smhdw]? *$"}
    )


def _accept_texts(properties: Schema) -> None:
    for name in _LISTS_AS_TEXT & properties.keys():
        properties[name] = _list_or_text(properties[name])


def _list_or_text(schema: Schema) -> Schema:
    """A list, or its items in one text; ``schema`` may allow null."""
    options = [one for one in schema.get("anyOf", [schema]) if one.get("type") == "array"]
    if not options:
        return schema
    kept: Schema = {key: schema[key] for key in ("description", "default") if key in schema}
    [array] = options
    return {**kept, "anyOf": [{**array, "default": None}, {"type": "string"}]}


def _joined(common: Schema, own: Schema) -> Schema:
    """The keys of a section and the options of its plugin in one table."""
    properties = {**own.get("properties", {}), **common["properties"]}
    joined: Schema = {**common, "properties": properties}
    if "properties" in own:
        joined["additionalProperties"] = own.get("additionalProperties", False)
        joined["required"] = own.get("required", [])
    return joined


def _both_spellings(by_name: Mapping[str, Any]) -> dict[str, Any]:
    """The same with ``-`` and with ``_`` in each name."""
    return {
        spelt: one
        for name, one in by_name.items()
        for spelt in (name, name.replace("-", "_"), name.replace("_", "-"))
    }


def _without_null(schema: object) -> Any:
    """The schema without what TOML cannot write, and without masked defaults."""
    if isinstance(schema, list):
        return [_without_null(one) for one in cast("list[object]", schema)]
    if not isinstance(schema, dict):
        return schema
    found = {name: _without_null(one) for name, one in cast("Schema", schema).items()}
    if isinstance(found.get("anyOf"), list):
        found["anyOf"] = [one for one in found["anyOf"] if one != {"type": "null"}]
        if len(found["anyOf"]) == 1:
            found = {**found.pop("anyOf")[0], **found}
    secret = found.pop("writeOnly", False)
    if secret or isinstance(
        found.get("default", 0), (dict, NoneType)
    ):  # a section may hold secrets
        found.pop("default", None)
    return found
