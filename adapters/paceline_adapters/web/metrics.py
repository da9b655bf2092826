"""Metrics for Prometheus: both layers, money, requests and streams."""

from collections.abc import Iterator, Mapping, Sequence

from paceline.client.cluster_status import ClusterStatus
from paceline.contracts.storage.budgets import AccountFigures, from_nanos
from paceline.contracts.storage.records import WorkerRecord
from paceline.contracts.storage.spending import Spent
from paceline.live.feed import StreamMessage
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from paceline_adapters.web.worker_counters import BoundedLabels, WorkerCounters

MEDIA_TYPE = CONTENT_TYPE_LATEST

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _Spending(Collector):
    """What calls have used, as the store counts it; more than a counter of this process."""

    def __init__(self, currency: str) -> None:
        self._currency = currency
        self._model = BoundedLabels()
        self.by_step: Mapping[tuple[str, str], Spent] = {}

    def collect(self) -> Iterator[CounterMetricFamily]:
        cost = CounterMetricFamily(
            "paceline_cost",
            "Cost of calls with an artifact, by model and step.",
            labels=["model", "step", "currency"],
        )
        tokens = CounterMetricFamily(
            "paceline_tokens",
            "Tokens of calls with an artifact, by model and step.",
            labels=["model", "step", "kind"],
        )
        for (model, step), spent in sorted(self._bounded().items()):
            if spent.cost is not None:
                cost.add_metric([model, step, self._currency], spent.cost)
            tokens.add_metric([model, step, "prompt"], spent.prompt_tokens)
            tokens.add_metric([model, step, "completion"], spent.completion_tokens)
        yield cost
        yield tokens

    def _bounded(self) -> Mapping[tuple[str, str], Spent]:
        """The sums with an artifact, in a bounded number of series: providers name the models."""
        found: dict[tuple[str, str], Spent] = {}
        for (model, step), spent in self.by_step.items():
            if model:
                key = (self._model(model), step)
                found[key] = found.get(key, Spent()) + spent
        return found


class Metrics:
    """The metrics of one application, in a registry of its own; money is in ``currency``."""

    def __init__(self, currency: str) -> None:
        self._currency = currency
        self._registry = CollectorRegistry()

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"paceline_{name}", text, labels, registry=self._registry)

        self._roadmaps = gauge("roadmaps", "Runs by state.", "state")
        self._concurrency = gauge(
            "roadmaps_limit", "Maximum number of runs that all workers work on at once."
        )
        self._workers = gauge("workers", "Live workers.")
        self._concepts = gauge("concepts_in_flight", "Concepts in flight.")
        self._calls = gauge("llm_calls_in_flight", "LLM calls in flight.")
        self._connections = gauge("db_connections", "Database connections in use.")
        self._connections_max = gauge(
            "db_connections_limit", "Maximum number of database connections of all pools."
        )
        self._events = gauge("events_per_second", "Progress events published per second.")
        self._admission = gauge(
            "admission_waiting", "Concepts, calls and uses of resources that wait for admission."
        )
        self._lost = gauge("runs_lost", "Running runs without a live worker.")
        self._unreachable = gauge("queue_unreachable", "1 if the queue does not answer, or 0.")
        self._waiting = gauge("sink_waiting", "Deliveries that wait, by sink.", "sink")
        self._oldest = gauge(
            "sink_oldest_seconds", "Age of the oldest waiting delivery, by sink.", "sink"
        )
        self._dead = gauge("sink_dead_letters", "Dead letters, by sink.", "sink")
        self._down = gauge("sink_down_seconds", "Seconds since the sink is down, or 0.", "sink")
        self._delivered = gauge(
            "sink_delivered", "Deliveries that the sink has accepted since its first one.", "sink"
        )
        self._spending = _Spending(currency)
        self._registry.register(self._spending)
        self._counted = WorkerCounters()
        self._registry.register(self._counted)
        self._unsaved_cost = gauge(
            "cost_without_artifact",
            "Cost of calls without an artifact, by step; it falls when the artifact is saved.",
            "step",
            "currency",
        )
        self._unsaved_tokens = gauge(
            "tokens_without_artifact",
            "Tokens of calls without an artifact, by step; they fall when the artifact is saved.",
            "step",
            "kind",
        )
        self._limit, self._spent, self._reserved = (
            gauge(f"budget_{name}", text, "scope", "model", "currency")
            for name, text in (
                ("limit", "Limit of the strategy budget, by scope and model."),
                ("spent", "What was spent of a limit in the current day or month."),
                ("reserved", "What calls in flight have reserved of a limit."),
            )
        )
        self._streams = gauge("streams", "Open WebSockets and event streams.")
        self._messages = Counter(
            "paceline_stream_messages",
            "Messages sent to streams.",
            ["transport"],
            registry=self._registry,
        )
        self._resyncs = Counter(
            "paceline_stream_resyncs",
            "Messages that told a client to reload, because it had missed events.",
            registry=self._registry,
        )
        self._slow = Counter(
            "paceline_streams_too_slow",
            "Streams closed because the client did not read.",
            registry=self._registry,
        )
        self._requests = Histogram(
            "paceline_http_request_seconds",
            "Seconds from a request to its answer.",
            ["method", "route", "status"],
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def request_answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, str(status)).observe(seconds)

    def messages_sent(self, transport: str, messages: Sequence[StreamMessage]) -> None:
        """Count messages to a stream."""
        self._messages.labels(transport).inc(len(messages))
        self._resyncs.inc(sum(message.resync for message in messages))

    def client_too_slow(self) -> None:
        """Count a stream that was closed because its client did not read."""
        self._slow.inc()

    def costs_read(self, costs: Mapping[tuple[str, str], Spent]) -> None:
        """Set what calls have used, by model and step."""
        self._spending.by_step = costs
        for (model, step), spent in costs.items():
            if model:
                continue
            name = step or "unknown"
            if spent.cost is not None or not spent.attempts:
                self._unsaved_cost.labels(name, self._currency).set(spent.cost or 0.0)
            self._unsaved_tokens.labels(name, "prompt").set(spent.prompt_tokens)
            self._unsaved_tokens.labels(name, "completion").set(spent.completion_tokens)

    def workers_read(self, workers: Sequence[WorkerRecord]) -> None:
        """Add what the workers counted since their last beats."""
        self._counted.read(workers)

    def budgets_read(self, budgets: Sequence[AccountFigures]) -> None:
        """Set how much of each limit is used, without those of tenants: they may be many."""
        for one in budgets:
            if one.account.subject:
                continue
            labels = (one.account.scope, one.account.key or "all", self._currency)
            self._limit.labels(*labels).set(from_nanos(one.limit))
            self._spent.labels(*labels).set(from_nanos(one.spent))
            self._reserved.labels(*labels).set(from_nanos(one.reserved))

    def exposition(self, status: ClusterStatus, *, streams: int) -> bytes:
        """The metrics as text, with the current status of both layers."""
        totals = status.totals
        self._roadmaps.labels("active").set(totals.roadmaps_active)
        self._roadmaps.labels("reserved").set(totals.roadmaps_reserved)
        self._roadmaps.labels("queued").set(totals.roadmaps_queued)
        self._concurrency.set(totals.concurrency)
        self._workers.set(len(status.workers))
        self._concepts.set(totals.concepts)
        self._calls.set(totals.calls)
        self._connections.set(totals.connections)
        self._connections_max.set(totals.connections_max)
        self._events.set(totals.events_per_second)
        self._admission.set(totals.waiting)
        self._lost.set(len(status.lost))
        self._unreachable.set(bool(status.unreachable))
        for sink in status.sinks:
            self._waiting.labels(sink.sink).set(sink.waiting)
            self._oldest.labels(sink.sink).set(sink.oldest)
            self._dead.labels(sink.sink).set(sink.dead)
            self._down.labels(sink.sink).set(sink.down_for)
            self._delivered.labels(sink.sink).set(sink.delivered)
        self._streams.set(streams)
        return generate_latest(self._registry)
