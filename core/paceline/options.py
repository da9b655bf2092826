"""The base of every plugin's options."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Options of a plugin, as its section of the settings gives them.

    Declare each with a type, a default and a ``Field(description=…)``: they are validated,
    and listed by ``paceline plugins`` and the docs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class NoOptions(Options):
    """For plugins with nothing to set."""
