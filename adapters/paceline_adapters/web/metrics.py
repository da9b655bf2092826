"""Figures for Prometheus: both layers, and what is served."""

from paceline.client.cluster_status import ClusterStatus
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

MEDIA_TYPE = CONTENT_TYPE_LATEST

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one application, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"paceline_{name}", text, labels, registry=self._registry)

        self._roadmaps = gauge("roadmaps", "Runs by where they are.", "state")
        self._concurrency = gauge("roadmaps_limit", "Runs that all workers may work on at once.")
        self._workers = gauge("workers", "Workers that beat.")
        self._concepts = gauge("concepts_in_flight", "Concepts in flight.")
        self._calls = gauge("llm_calls_in_flight", "LLM calls in flight.")
        self._connections = gauge("db_connections", "Database connections in use.")
        self._allowed = gauge("db_connections_limit", "Database connections of all pools.")
        self._events = gauge("events_per_second", "Progress events published a second.")
        self._streams = gauge("streams", "Sockets and event streams open.")
        self._messages = Counter(
            "paceline_stream_messages",
            "Messages sent to streams.",
            ["transport"],
            registry=self._registry,
        )
        self._resyncs = Counter(
            "paceline_stream_resyncs",
            "Times that a client was told it had missed events.",
            registry=self._registry,
        )
        self._slow = Counter(
            "paceline_streams_too_slow",
            "Streams closed because the client took nothing.",
            registry=self._registry,
        )
        self._requests = Histogram(
            "paceline_http_request_seconds",
            "Seconds from a request to its answer.",
            ["method", "route", "status"],
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(method, route, str(status)).observe(seconds)

    def told(self, transport: str, messages: int, resyncs: int) -> None:
        """A stream was told something."""
        self._messages.labels(transport).inc(messages)
        if resyncs:
            self._resyncs.inc(resyncs)

    def too_slow(self) -> None:
        """A stream was closed: its client took nothing."""
        self._slow.inc()

    def exposition(self, view: ClusterStatus, *, streams: int) -> bytes:
        """All of it as text, with the layers as they are now."""
        totals = view.totals
        self._roadmaps.labels("active").set(totals.roadmaps_active)
        self._roadmaps.labels("reserved").set(totals.roadmaps_reserved)
        self._roadmaps.labels("queued").set(totals.roadmaps_queued)
        self._concurrency.set(totals.concurrency)
        self._workers.set(len(view.workers))
        self._concepts.set(totals.concepts)
        self._calls.set(totals.calls)
        self._connections.set(totals.connections)
        self._allowed.set(sum(worker.pool_max for worker in view.workers))
        self._events.set(totals.events_per_second)
        self._streams.set(streams)
        return generate_latest(self._registry)
