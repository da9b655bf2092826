"""Environment variables: which are settings, and which only begin like one."""

import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from ipaddress import ip_address

from pydantic import ValidationError

from paceline.settings.model import OtelSettings
from paceline.validation import describe

PREFIX = "PACELINE_"
#: Environment variables of paceline that are not settings.
NOT_SETTINGS = frozenset({"PACELINE_PLUGINS", "PACELINE_CONFIG", "PACELINE_TOKEN"})
#: Variables of the OpenAI client and of OpenTelemetry that count as settings.
FOREIGN = {
    "OPENAI_API_KEY": ("provider", "api_key"),
    "OPENAI_BASE_URL": ("provider", "base_url"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("otel", "endpoint"),
}
_OTLP_EXPORTER = "opentelemetry-exporter-otlp-proto-http"
#: What Kubernetes and Docker tell a container about a service ``paceline`` or ``paceline-NAME``.
#: No part of such a name is empty, so ``__``, which separates the keys of settings, is not in it.
_SERVICE_LINK = re.compile(
    r"PACELINE(?:_[A-Z0-9]+)*?_(?:"
    r"(?P<host>SERVICE_HOST|PORT_\d+_(?:TCP|UDP|SCTP)_ADDR)"
    r"|(?P<port>SERVICE_PORT(?:_[A-Z0-9]+)*|PORT_\d+_(?:TCP|UDP|SCTP)_PORT)"
    r"|(?P<protocol>PORT_\d+_(?:TCP|UDP|SCTP)_PROTO)"
    r"|(?P<url>PORT(?:_\d+_(?:TCP|UDP|SCTP))?))"
)
_LINK_URL = re.compile(r"(?:tcp|udp|sctp)://[^/\s]+:\d+")


def variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Names and values of the variables that are settings; an empty one counts as not set."""
    for name, value in sorted(environ.items()):
        if (
            value
            and name.startswith(PREFIX)
            and name not in NOT_SETTINGS
            and not is_service_link(name, value)
        ):
            yield name, value


def foreign(environ: Mapping[str, str]) -> tuple[Mapping[str, str], list[str]]:
    """The variables of other programs that count as settings, and why some are ignored.

    An address for the telemetry of all programs on a machine must not stop this one.
    """
    found = {name: environ[name] for name in FOREIGN if environ.get(name)}
    endpoint = found.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if endpoint is None:
        return found, []
    reason = _unusable(endpoint)
    if reason is None:
        return found, []
    del found["OTEL_EXPORTER_OTLP_ENDPOINT"]
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return found, []
    return found, [f"OTEL_EXPORTER_OTLP_ENDPOINT is ignored: {reason}"]


def _unusable(endpoint: str) -> str | None:
    """Why telemetry cannot be sent to an address, without the address."""
    try:
        OtelSettings(endpoint=endpoint)
        metadata.distribution(_OTLP_EXPORTER)
    except ValidationError as error:
        return describe(error)[0].replace("endpoint", "it", 1)
    except metadata.PackageNotFoundError:
        return "OpenTelemetry is not installed: pip install 'paceline[otel]'"
    return None


def is_service_link(name: str, value: str) -> bool:
    """Whether a variable describes a service of the cluster: both its name and value look so."""
    match = _SERVICE_LINK.fullmatch(name)
    if match is None:
        return False
    if match["host"]:
        try:
            return bool(ip_address(value))
        except ValueError:
            return False
    if match["port"]:
        return value.isdecimal()
    if match["protocol"]:
        return value in {"tcp", "udp", "sctp"}
    return _LINK_URL.fullmatch(value) is not None
