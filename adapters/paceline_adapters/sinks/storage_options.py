"""Options of a file system, which may be secrets, as texts in the settings."""

import json
from collections.abc import Mapping
from typing import cast

from pydantic import SecretStr


def as_texts(table: object) -> object:
    """Keep texts as they are, and other values of a table as JSON."""
    if not isinstance(table, Mapping):
        return table
    values = cast("Mapping[str, object]", table)
    return {
        key: value if isinstance(value, str | SecretStr) else json.dumps(value)
        for key, value in values.items()
    }


def as_values(texts: Mapping[str, SecretStr]) -> dict[str, object]:
    """The values of the texts: numbers, truth values, tables and lists, or the text itself."""
    return {key: _value(text.get_secret_value()) for key, text in texts.items()}


def _value(text: str) -> object:
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    # A key of digits stays text, because its leading zeros matter.
    return text if isinstance(value, int | float | str) and not isinstance(value, bool) else value
