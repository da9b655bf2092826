"""The metrics, under their names in OpenTelemetry."""

from collections.abc import Callable, Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from paceline.contracts.storage.records import PoolFigures
from paceline.contracts.telemetry import Gauges

#: Buckets that the GenAI conventions require for durations and tokens.
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(float(4**power) for power in range(14))
#: Buckets for the seconds of a wait for admission: from none to an hour.
_WAITS = (0.0, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)

Observe = Callable[[CallbackOptions], Iterable[Observation]]


class Instruments:
    """All metrics of one process."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="Duration of one attempt at the provider.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self.tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Tokens of one answered attempt.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self.wait = meter.create_histogram(
            "paceline.admission.wait",
            unit="s",
            description="Time from the request to the strategy until the work was admitted.",
            explicit_bucket_boundaries_advisory=_WAITS,
        )

    def watch(self, gauges: Gauges, pool: Callable[[], PoolFigures]) -> None:
        """Read the gauges of a process each time that metrics are sent."""

        def now(name: str, unit: str, text: str, read: Callable[[], int]) -> None:
            self._meter.create_observable_up_down_counter(
                name, [_reading(read)], unit=unit, description=text
            )

        def so_far(name: str, unit: str, text: str, read: Callable[[], int]) -> None:
            self._meter.create_observable_counter(
                name, [_reading(read)], unit=unit, description=text
            )

        now("paceline.runs.active", "{run}", "Runs in work.", lambda: len(gauges.runs))
        now("paceline.concepts.active", "{concept}", "Concepts in flight.", lambda: gauges.concepts)
        now("paceline.calls.active", "{call}", "LLM calls in flight.", lambda: gauges.calls)
        now("paceline.admission.waiting", "{work}", "Work that waits.", lambda: gauges.waiting)
        so_far("paceline.refusals", "{call}", "Refused attempts.", lambda: gauges.refusals)
        so_far("paceline.fallbacks", "{answer}", "Fallback answers.", lambda: gauges.fallbacks)
        so_far("paceline.artifacts.saved", "{artifact}", "Artifacts saved.", lambda: gauges.saved)
        so_far("paceline.events.published", "{event}", "Events sent.", lambda: gauges.events)
        for name, counts, text in (
            ("paceline.sink.delivered", gauges.delivered, "Deliveries that a sink accepted."),
            ("paceline.sink.dead_letters", gauges.dead_letters, "Deliveries given up."),
        ):
            self._meter.create_observable_counter(
                name, [_by_sink(counts)], unit="{delivery}", description=text
            )
        self._meter.create_observable_up_down_counter(
            "db.client.connection.count",
            [_reading(lambda: pool().in_use, {"db.client.connection.state": "used"})],
            unit="{connection}",
            description="Database connections that are checked out.",
        )


def _by_sink(counts: Mapping[str, int]) -> Observe:
    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(count, {"paceline.sink": sink}) for sink, count in counts.items()]

    return observe


def _reading(read: Callable[[], int], attributes: dict[str, str] | None = None) -> Observe:
    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(read(), attributes)]

    return observe
