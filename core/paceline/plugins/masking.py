"""Masks the secrets of settings in texts that come from plugins."""

from collections.abc import Iterator, Mapping
from typing import cast
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

MASK = "********"
#: Shorter secrets are not masked: they would match in half of all words.
_SHORTEST = 4


def masked(text: str, *sources: BaseModel) -> str:
    """The text without the secrets that the models contain, and without passwords of URLs."""
    secrets = {secret for source in sources for secret in _secrets(source)}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    return text


def _secrets(value: object) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield from _parts(value.get_secret_value())
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, Mapping):
        for inner in cast("Mapping[object, object]", value).values():
            yield from _secrets(inner)
    elif isinstance(value, list | tuple):
        for inner in cast("list[object]", value):
            yield from _secrets(inner)


def _parts(secret: str) -> Iterator[str]:
    """The secret, or only the password if the secret is a URL."""
    try:
        parts = urlsplit(secret)
    except ValueError:
        yield secret
        return
    if not (parts.scheme and "//" in secret):
        yield secret
    elif parts.password:
        yield from (parts.password, unquote(parts.password))
