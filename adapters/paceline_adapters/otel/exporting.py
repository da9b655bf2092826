"""Sends spans and metrics over OTLP/HTTP, in threads of the SDK."""

import asyncio
import os
import threading
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
from paceline.process.certificates import check_files

from paceline_adapters.otel import sdk_log
from paceline_adapters.otel.ids import RunIds
from paceline_adapters.otel.telemetry import OpenTelemetry

#: Maximum number of seconds that an exiting process takes to send the rest.
EXIT_TIMEOUT = 1.0


def make(context: Context) -> OpenTelemetry:
    """Create telemetry for the endpoint of the settings.

    Everything else is configured by OpenTelemetry's own environment variables.
    """
    settings = context.settings.otel
    endpoint = (settings.endpoint or "").rstrip("/")
    if endpoint.startswith("https:"):
        check_files("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSLKEYLOGFILE")
    attributes = {"service.version": version("paceline")}
    if "OTEL_SERVICE_NAME" not in os.environ:
        attributes["service.name"] = "paceline"
    if context.worker_id:
        attributes["service.instance.id"] = context.worker_id
    resource = Resource.create(attributes)
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
    name = f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"
    url = os.environ.get(name) or default
    if url.startswith(("http://", "https://")) and "@" not in url:
        return url
    sdk_log.log.warning("%s is ignored: it must be http://… without user or password", name)
    return default


async def _run_at_most(seconds: float, shut_down: Callable[[], object]) -> None:
    """Let the SDK send what it holds, but do not delay the exit of the process for long."""
    # A daemon thread does not block the exit if the collector hangs.
    thread = threading.Thread(target=shut_down, name="paceline-otel", daemon=True)
    thread.start()
    await asyncio.to_thread(thread.join, seconds)
    if thread.is_alive():
        sdk_log.warn(f"the last spans and metrics were not sent within {seconds:g} s")
