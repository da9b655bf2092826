"""The effective settings as a list with masked secrets."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, SecretStr

from paceline.plugins.built_ins import Kind
from paceline.plugins.masking import MASK
from paceline.plugins.registry import Plugins
from paceline.settings.load import BY_PLUGIN, Loaded, options_for
from paceline.settings.model import Settings
from paceline.settings.paths import absolute_url, join_key
from paceline.settings.sinks import sink_offer

_SECRET_VALUE = re.compile(r"([^&=]*(?:pass|pwd|key|token|secret|sig|auth)[^&=]*=)[^&]+", re.I)


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """One effective setting, with secrets masked; ``origin`` is ``default`` if it was not set."""

    key: str
    value: object
    origin: str


def effective(loaded: Loaded, plugins: Plugins) -> Iterator[EffectiveSetting]:
    """All settings, and all options of the chosen plugins."""
    settings = loaded.settings
    for key, value in _flat(settings, ""):
        if key.partition(".")[0] not in BY_PLUGIN:
            shown = store_address(settings) if key == "store.url" else value
            yield EffectiveSetting(key, shown, _origin(key, loaded.origins))
    chosen: list[tuple[str, Kind, str, Mapping[str, Mapping[str, object]]]] = [
        *(("strategies", "strategy", name, settings.strategies) for name in settings.strategy),
        ("executors", "executor", settings.executor, settings.executors),
        ("providers", "provider", settings.provider.name, settings.providers),
    ]
    for name, sink in settings.sinks.items():
        options = sink_offer(settings, plugins, name).check(sink.options(), f"sinks.{name}")
        for key, value in _flat(options, f"sinks.{join_key([name])}."):
            yield EffectiveSetting(key, value, _origin(key, loaded.origins))
    for section, kind, name, by_name in chosen:
        place = f"{section}.{name.replace('_', '-')}"
        options = plugins.offer(kind, name).check(options_for(by_name, name), place)
        for key, value in _flat(options, f"{place}."):
            yield EffectiveSetting(key, value, _origin(key, loaded.origins))


def store_address(settings: Settings) -> str:
    """``store.url`` with its secrets masked, and with an absolute path if it names a file."""
    url = settings.store.url.get_secret_value()
    with suppress(OSError):  # the working folder was deleted
        url = absolute_url(url, Path.cwd())
    return mask_url(url) if "://" in url else MASK


def _origin(key: str, origins: Mapping[str, str]) -> str:
    """Where a value was set, or the last value inside it."""
    within = [origin for known, origin in origins.items() if known.startswith(f"{key}.")]
    return origins.get(key) or (within[-1] if within else "default")


def mask_url(url: str) -> str:
    """The URL with its password and secret query values masked."""
    try:
        parts = urlsplit(url)
        user, password = parts.username, parts.password
    except ValueError:
        return MASK
    place = parts.netloc
    _, _, rest = url.partition("://")
    if "@" in rest and "@" not in place and ":" in place:
        # A password with an unquoted "/", "?" or "#": databases read it up to the last "@".
        return f"{parts.scheme}://{place.partition(':')[0]}:{MASK}@{rest.rpartition('@')[2]}"
    if password:
        place = f"{user or ''}:{MASK}@{place.rpartition('@')[2]}"
    elif user and parts.scheme in {"http", "https"}:
        # In HTTP URLs, a user without a password is a token.
        place = f"{MASK}@{place.rpartition('@')[2]}"
    masked = parts._replace(netloc=place, query=_SECRET_VALUE.sub(rf"\1{MASK}", parts.query))
    return url if masked == parts else urlunsplit(masked)


def _flat(model: BaseModel, prefix: str) -> Iterator[tuple[str, object]]:
    for name in type(model).model_fields:
        value: object = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _flat(value, f"{prefix}{name}.")
        elif models := _models(value):
            for key, inner in models.items():
                yield from _flat(inner, f"{prefix}{name}.{join_key([key])}.")
        else:
            yield f"{prefix}{name}", _plain(value)


def _models(value: object) -> Mapping[str, BaseModel]:
    """The value if it is a table of models, else an empty table."""
    if not isinstance(value, Mapping):
        return {}
    table = cast("Mapping[str, object]", value)
    models = {key: inner for key, inner in table.items() if isinstance(inner, BaseModel)}
    return models if len(models) == len(table) else {}


def _plain(value: object) -> object:
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        return mask_url(secret) if "://" in secret else MASK
    if isinstance(value, str):
        return mask_url(value) if "://" in value else value
    if isinstance(value, BaseModel):
        return dict(_flat(value, ""))
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
    if isinstance(value, Mapping):
        table = cast("Mapping[str, object]", value)
        return {key: _in_table(key, inner) for key, inner in table.items()}
    return value


def _in_table(key: str, value: object) -> str:
    if value is None:  # a key of a resource: the environment variable with that name holds it
        return f"${key}"
    return MASK if isinstance(value, SecretStr) else str(value)
