"""Sending over OTLP/HTTP, in threads of the SDK's own."""

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

#: Seconds that a process waits in the end for what is still to be sent.
FAREWELL = 5.0
#: Seconds between two lines about a collector that takes nothing.
SAY_AGAIN = 60.0


def make(context: Context) -> OpenTelemetry:
    """Telemetry to the endpoint of the settings; the rest by OpenTelemetry's own variables."""
    settings = context.settings.otel
    endpoint = (settings.endpoint or "").rstrip("/")
    named = {"service.version": version("paceline")}
    if "OTEL_SERVICE_NAME" not in os.environ:
        named["service.name"] = "paceline"
    if context.worker_id:
        named["service.instance.id"] = context.worker_id
    resource = Resource.create(named)
    _speak_for_the_sdk()
    tracers = TracerProvider(resource=resource, id_generator=RunIds(), shutdown_on_exit=False)
    if _wanted("TRACES"):
        tracers.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(endpoint=_place("TRACES", f"{endpoint}/v1/traces")))
        )
    readers = (
        [
            PeriodicExportingMetricReader(
                OTLPMetricExporter(endpoint=_place("METRICS", f"{endpoint}/v1/metrics"))
            )
        ]
        if _wanted("METRICS")
        else []
    )
    meters = MeterProvider(readers, resource=resource, shutdown_on_exit=False)

    def shut_down() -> None:
        tracers.shutdown()
        meters.shutdown(FAREWELL * 1000)

    return OpenTelemetry(tracers, meters, content=settings.content, shut_down=shut_down)


def _wanted(signal: str) -> bool:
    """Whether a signal is sent: a collector may take one of the two alone."""
    return os.environ.get(f"OTEL_{signal}_EXPORTER") != "none"


def _place(signal: str, default: str) -> str:
    """Where a signal is sent to."""
    return os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or default


async def finish(shut_down: Callable[[], object]) -> None:
    """Let the SDK send what it holds, without holding up the end of the process for long."""
    # A daemon: where the collector hangs, nobody waits for this thread.
    thread = threading.Thread(target=shut_down, name="paceline-otel", daemon=True)
    thread.start()
    await asyncio.to_thread(thread.join, FAREWELL)
    if thread.is_alive():
        log.warning("the last spans and metrics were not sent within %g s", FAREWELL)


class _Said(logging.Handler):
    """The SDK's complaints as ours, now and then: one comes with each batch that is lost."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said_at = -SAY_AGAIN

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._said_at >= SAY_AGAIN:
            self._said_at = now
            first = (record.getMessage().splitlines() or [""])[0]
            log.warning("spans or metrics are lost: %s", first)


def _speak_for_the_sdk() -> None:
    theirs = logging.getLogger("opentelemetry")
    theirs.propagate = False
    if not any(isinstance(handler, _Said) for handler in theirs.handlers):
        theirs.addHandler(_Said())
