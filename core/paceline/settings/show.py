"""The effective settings as a list, secrets masked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, SecretStr

from paceline.plugins import Kind, Plugins
from paceline.settings.load import Loaded, options_for

MASK = "********"


@dataclass(frozen=True, slots=True)
class Shown:
    """One effective setting.

    Attributes:
        key: its dotted path.
        value: its value, fit to be shown.
        origin: where it came from; ``default`` if nobody set it.
    """

    key: str
    value: object
    origin: str


def shown(loaded: Loaded, plugins: Plugins) -> Iterator[Shown]:
    """Every effective setting, and every option of the plugins chosen."""
    settings = loaded.settings
    for key, value in _flat(settings, ""):
        if key.partition(".")[0] not in {"strategies", "executors", "providers"}:
            yield Shown(key, value, loaded.origins.get(key, "default"))
    chosen: list[tuple[str, Kind, str, Mapping[str, Mapping[str, object]]]] = [
        *(("strategies", "strategy", name, settings.strategies) for name in settings.strategy),
        ("executors", "executor", settings.executor, settings.executors),
        ("providers", "provider", settings.provider.name, settings.providers),
    ]
    for section, kind, name, by_name in chosen:
        place = f"{section}.{name.replace('_', '-')}"
        options = plugins.offer(kind, name).check(options_for(by_name, name), place)
        for key, value in _flat(options, f"{place}."):
            yield Shown(key, value, loaded.origins.get(key, "default"))


def mask_url(url: str) -> str:
    """The URL without its password."""
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return MASK
    if not password:
        return url
    user, _, rest = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:{MASK}@{rest}"))


def _flat(model: BaseModel, prefix: str) -> Iterator[tuple[str, object]]:
    for name in type(model).model_fields:
        value: object = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _plain(value)


def _plain(value: object) -> object:
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        return mask_url(secret) if "://" in secret else MASK
    if isinstance(value, Mapping):
        return {str(key): str(inner) for key, inner in value.items()}  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
    return value
