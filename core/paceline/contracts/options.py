"""The base class of settings sections and of plugin options."""

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    ValidationInfo,
    field_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from paceline.contracts.field_descriptions import field_descriptions
from paceline.validation import holds_numbers_only, no_truth_value


class Options(BaseModel):
    """Options of a plugin: its section of the settings.

    Declare each option with a type, a default and a docstring below it. paceline validates
    them and lists them in ``paceline plugins`` and in the docs.
    """

    # Built when first used, and without reading the docstrings: that is a third of the start of a
    # command, and only lists of options need them (``paceline.contracts.field_descriptions``).

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_as_number(cls, value: object, info: ValidationInfo) -> object:
        field = cls.model_fields[str(info.field_name)]
        return no_truth_value(value) if holds_numbers_only(field.annotation) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The JSON schema, with the docstring below each option as its description."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in field_descriptions(cls).items():
            key = cls.model_fields[name].alias or name
            if text and key in properties:
                properties[key].setdefault("description", text)
        return schema


class NoOptions(Options):
    """For plugins without options."""
