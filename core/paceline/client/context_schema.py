"""The JSON schema that contexts must match: ``run.context_schema`` of the settings."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from paceline.contracts.run_context import PLACE
from paceline.errors import ContextError, SettingsError
from paceline.validation import dotted

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

#: Maximum size of a schema, in bytes.
MAX_BYTES = 2**20
#: Maximum number of characters of a fault's text, which may quote the value.
_MAX_TEXT = 300
_KEY = "run.context_schema"


async def check_context_schema(path: Path | None, context: Mapping[str, object]) -> None:
    """Check a context against the schema of the settings, in a thread.

    Args:
        path: file of the schema; ``None`` if every context is allowed.
        context: the context.

    Raises:
        ContextError: the context does not match; the error has every fault with its path.
        SettingsError: the schema cannot be read or is not valid.
    """
    if path is not None:
        await asyncio.to_thread(_check, path, context)


def _check(path: Path, context: Mapping[str, object]) -> None:
    from referencing.exceptions import Unresolvable

    validator = load_context_schema(path)
    errors = validator.iter_errors(cast("Any", context))
    try:
        found = sorted(errors, key=lambda error: list(map(str, error.path)))
    except Unresolvable as error:
        raise SettingsError(f"{_KEY}: {path}: a reference leads nowhere: {error.ref}") from None
    except RecursionError:
        raise SettingsError(f"{_KEY}: {path}: its references have no end") from None
    faults: list[str] = []
    for fault in found:
        place = dotted([PLACE, *fault.absolute_path])
        text = " ".join(fault.message.split())
        faults.append(f"{place}: {text[:_MAX_TEXT]}{'…' if len(text) > _MAX_TEXT else ''}")
    if faults:
        raise ContextError(faults)


def load_context_schema(path: Path) -> "Validator":
    """Read a JSON schema. References to other documents are not followed.

    Raises:
        SettingsError: the file cannot be read, or is not a valid JSON schema.
    """
    from jsonschema import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry

    place = f"{_KEY}: {path}"
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise SettingsError(f"{place}: must not be larger than {MAX_BYTES // 2**20} MiB")
        decoded: object = json.loads(raw.decode("utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{place}: cannot be read: {error.strerror or error}") from None
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}"
        raise SettingsError(f"{place}: not valid JSON at {at}: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, a NUL in the path
        raise SettingsError(f"{place}: not valid JSON: {error}") from None
    if not isinstance(decoded, dict):
        raise SettingsError(f"{place}: a JSON schema must be an object")
    schema = cast("dict[str, Any]", decoded)
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        where = dotted(list(error.absolute_path)) or "the schema"
        raise SettingsError(f"{place}: {where}: {error.message[:_MAX_TEXT]}") from None
    return kind(schema, registry=Registry())
