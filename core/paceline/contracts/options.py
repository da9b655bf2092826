"""The base class of settings sections and of plugin options."""

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from paceline.validation import holds_numbers_only, no_truth_value


class Options(BaseModel):
    """Options of a plugin: its section of the settings.

    Declare each option with a type, a default and a docstring below it. paceline validates
    them and lists them in ``paceline plugins`` and in the docs.
    """

    # Built when first used, and without reading the docstrings: that is a third of the start of a
    # command, and only lists of options need them (``paceline.settings.descriptions``).

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_as_number(cls, value: object, info: ValidationInfo) -> object:
        field = cls.model_fields[str(info.field_name)]
        return no_truth_value(value) if holds_numbers_only(field.annotation) else value


class NoOptions(Options):
    """For plugins without options."""
