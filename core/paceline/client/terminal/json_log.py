"""The log as JSON: one object per line, with ids and without secrets."""

import logging
import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import click
from pydantic import BaseModel, SecretStr

from paceline import log_context
from paceline.contracts.telemetry import trace_id_of
from paceline.plugins.masking import MASK
from paceline.settings.model import Settings
from paceline.settings.show import mask_url

Fields = MutableMapping[str, Any]

_URL = re.compile(r"[A-Za-z][\w+.-]*://[^\s'\"<>]+")
_SECRET_KEY = re.compile("pass|pwd|key|token|secret|auth", re.IGNORECASE)
#: Shorter secrets are not masked: they would match in half of all words.
_SHORTEST_SECRET = 4


def json_lines(settings: Settings) -> logging.Handler:
    """A handler that writes each record to stderr as one line of JSON, with all secrets masked."""
    import structlog

    secrets = sorted(set(secrets_of(settings)), key=len, reverse=True)
    traced = settings.telemetry_kind is not None

    def add_ids(_logger: object, _method: str, fields: Fields) -> Fields:
        ids: dict[str, Any] = dict(log_context.current())
        record: logging.LogRecord = fields["_record"]
        ids |= {
            key: getattr(record, key) for key in ("run_id", "concept_id") if key in vars(record)
        }
        if traced and "run_id" in ids:
            ids["trace_id"] = trace_id_of(ids["run_id"])
        return {**fields, **ids}

    def mask(_logger: object, _method: str, fields: Fields) -> Fields:
        return {key: _masked(value, secrets) for key, value in fields.items()}

    handler = _Lines()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                add_ids,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                mask,
                structlog.processors.JSONRenderer(ensure_ascii=True, default=str),
            ]
        )
    )
    return handler


class _Lines(logging.Handler):
    """Writes to the current stderr, even if it was replaced."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            click.echo(self.format(record), err=True)
        except Exception:  # noqa: BLE001
            self.handleError(record)


def secrets_of(settings: Settings) -> Iterator[str]:
    """The secrets to mask: keys, passwords in URLs, and OpenTelemetry headers."""
    yield from (secret for secret in _secrets(settings) if len(secret) >= _SHORTEST_SECRET)
    for name in ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"):
        for pair in os.environ.get(name, "").split(","):
            value = pair.partition("=")[2].strip()
            for form in (value, unquote(value), unquote(value).rpartition(" ")[2]):
                if len(form) >= _SHORTEST_SECRET:
                    yield form


def _secrets(value: object, key: str = "") -> Iterator[str]:
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        if key.endswith("url"):
            yield from _passwords(secret)
        else:
            yield secret
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name), name)
    elif isinstance(value, Mapping):
        for name, inner in cast("Mapping[str, object]", value).items():
            yield from _secrets(inner, name)
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from _secrets(inner, key)
    elif isinstance(value, str) and _SECRET_KEY.search(key):
        yield value


def _passwords(url: str) -> Iterator[str]:
    try:
        password = urlsplit(url).password
    except ValueError:
        yield url
        return
    if password:
        yield from (password, unquote(password))


def _masked(value: Any, secrets: list[str]) -> Any:
    """The value as text without secrets; numbers stay numbers."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    for secret in secrets:
        text = text.replace(secret, MASK)
    return _URL.sub(lambda found: mask_url(found[0]), text)
