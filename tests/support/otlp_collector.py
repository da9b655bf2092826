"""A collector on the loopback interface: receives OTLP over HTTP and decodes it."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(slots=True)
class Collector:
    """What the collector received.

    Attributes:
        address: the value for ``otel.endpoint``.
        bodies: every request's body.
        spans: every span.
        metrics: names of the metrics.
        services: ``service.name`` of each sender of spans.
    """

    address: str = ""
    bodies: list[bytes] = field(default_factory=list[bytes])
    spans: list[Span] = field(default_factory=list[Span])
    metrics: set[str] = field(default_factory=set[str])
    services: set[str] = field(default_factory=set[str])

    def take(self, path: str, body: bytes) -> None:
        """Handle a request."""
        self.bodies.append(body)
        if path == "/v1/traces":
            for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.services.add(str(attributes_of(sent.resource.attributes)["service.name"]))
                for scope in sent.scope_spans:
                    self.spans.extend(scope.spans)
        elif path == "/v1/metrics":
            for sent_metrics in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for scoped in sent_metrics.scope_metrics:
                    self.metrics |= {metric.name for metric in scoped.metrics}

    def named(self, name: str) -> list[Span]:
        """The spans with this name."""
        return [span for span in self.spans if span.name == name]


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, object]:
    """Attributes as a mapping."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    return None if kind is None else getattr(value, kind)


@contextmanager
def collecting() -> Iterator[Collector]:
    """Serve a collector until the end of the block."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        collector.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
