"""Counters of all workers together that never fall, although workers come and go.

A worker reports what it counted since its own start. A sum over the live workers would fall when
one of them exits, and Prometheus would read that as a restart. So this server adds up what each
report adds to the one before.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from paceline.contracts.call_counts import BOUNDS, Durations
from paceline.contracts.storage.records import Figures, WorkerRecord
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

#: Number of last reports to keep: a worker may be back after an outage.
_KEPT = 4096
#: Maximum number of different models, and of kinds of failures; the others count as ``other``.
MAX_LABELS = 100

#: The name of a counter and its labels.
_Key = tuple[str, ...]


class BoundedLabels:
    """Values of a label that another program chose: the first ones, and ``other``."""

    def __init__(self, most: int = MAX_LABELS) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """The label for a value; the same value always has the same one."""
        if value not in self._known and len(self._known) >= self._most:
            return "other"
        self._known.add(value)
        return value


class WorkerCounters(Collector):
    """What all workers counted since this server started.

    The workers that are alive at the first report count from there.
    """

    def __init__(self) -> None:
        self._reports: dict[str, Mapping[_Key, float]] = {}
        self._totals: dict[_Key, float] = defaultdict(float)
        self._read_before = False
        self._model, self._kind = BoundedLabels(), BoundedLabels()

    def read(self, workers: Sequence[WorkerRecord]) -> None:
        """Add what the workers' last beats report."""
        for worker in workers:
            report = _report_of(worker.figures)
            # A beat that another version wrote has no counts; they do not fall by that.
            before = self._reports.pop(worker.worker_id, {} if self._read_before else report)
            kept = dict(before)
            for key, value in report.items():
                added = value - before.get(key, 0)
                if added > 0:
                    self._totals[self._bounded(key)] += added
                    kept[key] = value
                else:
                    self._totals.setdefault(self._bounded(key), 0.0)
                    kept.setdefault(key, value)
            self._reports[worker.worker_id] = kept
        while len(self._reports) > _KEPT:
            del self._reports[next(iter(self._reports))]
        self._read_before = True

    def _bounded(self, key: _Key) -> _Key:
        name, *labels = key
        if name in ("refused", "failed", "answered", "answered_seconds"):
            labels[0] = self._model(labels[0])
        if name == "failed":
            labels[1] = self._kind(labels[1])
        return (name, *labels)

    def collect(self) -> Iterator[Metric]:
        """The counters for Prometheus."""
        for name, metric, text, labels in (
            ("saved", "artifacts_saved", "Artifacts saved.", ()),
            ("fallbacks", "fallbacks", "Answers of fallback models.", ()),
            ("refused", "llm_refusals", "Attempts that the provider refused.", ("model",)),
            (
                "failed",
                "llm_failures",
                "Attempts that failed otherwise, by the name of the error.",
                ("model", "kind"),
            ),
        ):
            family = CounterMetricFamily(f"paceline_{metric}", text, labels=labels)
            for key, value in self._of(name):
                family.add_metric(key, value)
            yield family
        for name, metric, text, label in (
            ("answered", "llm_call_seconds", "Seconds until an attempt was answered.", "model"),
            ("waited", "admission_wait_seconds", "Seconds from asking to admission.", "level"),
        ):
            yield self._histogram(name, metric, text, label)

    def _histogram(self, name: str, metric: str, text: str, label: str) -> HistogramMetricFamily:
        family = HistogramMetricFamily(f"paceline_{metric}", text, labels=[label])
        bounds = [*(str(bound) for bound in BOUNDS), "+Inf"]
        for (value,), seconds in self._of(f"{name}_seconds"):
            counts = [self._totals[name, value, str(at)] for at in range(len(bounds))]
            buckets = list(zip(bounds, accumulate(counts), strict=True))
            family.add_metric([value], buckets, seconds)
        return family

    def _of(self, name: str) -> list[tuple[Sequence[str], float]]:
        return [(key[1:], value) for key, value in sorted(self._totals.items()) if key[0] == name]


def _report_of(figures: Figures) -> Mapping[_Key, float]:
    """The counts of one worker, by name and labels."""
    found: dict[_Key, float] = {("saved",): figures.saved, ("fallbacks",): figures.fallbacks}
    for model, one in figures.attempts.items():
        found["refused", model] = one.refused
        for kind, number in one.failed.items():
            found["failed", model, kind] = number
        found |= _durations("answered", model, one.answered)
    for level, waits in figures.waits.items():
        found |= _durations("waited", level, waits)
    return found


def _durations(name: str, label: str, durations: Durations) -> Mapping[_Key, float]:
    found: dict[_Key, float] = {(f"{name}_seconds", label): durations.seconds}
    for at, number in enumerate(durations.buckets[: len(BOUNDS) + 1]):
        found[name, label, str(at)] = number
    return found
