"""Sends spans and metrics over OTLP/HTTP, in threads of the SDK."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from paceline import Context

from paceline_adapters.otel.ids import RunIds
from paceline_adapters.otel.telemetry import OpenTelemetry

log = logging.getLogger("paceline.otel")

#: Maximum number of seconds that an exiting process takes to send the rest.
EXIT_TIMEOUT = 5.0
#: Seconds between two log lines about a collector that accepts nothing.
REPEAT = 60.0


def make(context: Context) -> OpenTelemetry:
    """Create telemetry for the endpoint of the settings.

    Everything else is configured by OpenTelemetry's own environment variables.
    """
    settings = context.settings.otel
    endpoint = (settings.endpoint or "").rstrip("/")
    attributes = {"service.version": version("paceline")}
    if "OTEL_SERVICE_NAME" not in os.environ:
        attributes["service.name"] = "paceline"
    if context.worker_id:
        attributes["service.instance.id"] = context.worker_id
    resource = Resource.create(attributes)
    _redirect_sdk_log()
    tracers = TracerProvider(resource=resource, id_generator=RunIds(), shutdown_on_exit=False)
    if _is_exported("TRACES"):
        exporter = OTLPSpanExporter(endpoint=_endpoint("TRACES", f"{endpoint}/v1/traces"))
        tracers.add_span_processor(BatchSpanProcessor(exporter))
    readers = (
        [
            PeriodicExportingMetricReader(
                OTLPMetricExporter(endpoint=_endpoint("METRICS", f"{endpoint}/v1/metrics"))
            )
        ]
        if _is_exported("METRICS")
        else []
    )
    meters = MeterProvider(readers, resource=resource, shutdown_on_exit=False)

    def shut_down() -> None:
        tracers.shutdown()
        meters.shutdown(EXIT_TIMEOUT * 1000)

    async def close() -> None:
        await _run_at_most(EXIT_TIMEOUT, shut_down)

    return OpenTelemetry(tracers, meters, content=settings.content, close=close)


def _is_exported(signal: str) -> bool:
    """Whether a signal is sent. A collector may accept only one of the two."""
    return os.environ.get(f"OTEL_{signal}_EXPORTER") != "none"


def _endpoint(signal: str, default: str) -> str:
    """The URL that a signal is sent to."""
    return os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or default


async def _run_at_most(seconds: float, shut_down: Callable[[], object]) -> None:
    """Let the SDK send what it holds, but do not delay the exit of the process for long."""
    # A daemon thread does not block the exit if the collector hangs.
    thread = threading.Thread(target=shut_down, name="paceline-otel", daemon=True)
    thread.start()
    await asyncio.to_thread(thread.join, seconds)
    if thread.is_alive():
        log.warning("the last spans and metrics were not sent within %g s", seconds)


class _Redirected(logging.Handler):
    """Logs the SDK's warnings as ours, but rarely: the SDK logs one per lost batch."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._logged_at = -REPEAT

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._logged_at >= REPEAT:
            self._logged_at = now
            first = (record.getMessage().splitlines() or [""])[0]
            log.warning("spans or metrics are lost: %s", first)


def _redirect_sdk_log() -> None:
    theirs = logging.getLogger("opentelemetry")
    theirs.propagate = False
    if not any(isinstance(handler, _Redirected) for handler in theirs.handlers):
        theirs.addHandler(_Redirected())
