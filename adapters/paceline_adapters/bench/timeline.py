"""Both layers over time: what began and ended when, as step functions on a grid."""

import bisect
from collections.abc import Iterable, Sequence

from paceline_adapters.bench.probes.calls import Call
from paceline_adapters.bench.probes.postgres import Sample
from paceline_adapters.bench.results import Timeline
from paceline_adapters.bench.seen import Heard

#: Points of a time line, and seconds between two of them at least.
_POINTS, _LEAST = 200, 0.05

#: A second, less what is lost where moments are kept as seconds since 1970.
_SECOND = 1.0 - 1e-5

#: When something began and ended, seconds since the first submission.
Span = tuple[float, float]


def roadmap_spans(heard: Iterable[Heard], began: float) -> list[Span]:
    """Runs between their first and last event."""
    return _between((one.run_id, one.at - began) for one in heard)


def concept_spans(heard: Iterable[Heard], began: float) -> list[Span]:
    """Concepts between their first and last event."""
    return _between(
        (f"{one.run_id}/{one.concept_id}", one.at - began)
        for one in heard
        if one.concept_id is not None
    )


def called_spans(calls: Iterable[Call], began: float, *, by_roadmap: bool) -> list[Span]:
    """Roadmaps or concepts between their first and last call, for what publishes no events."""
    times: list[tuple[str, float]] = []
    for call in calls:
        name = call.roadmap if by_roadmap else f"{call.roadmap}/{call.concept}"
        times += [(name, call.started - began), (name, call.ended - began)]
    return _between(times)


def call_spans(calls: Iterable[Call], began: float) -> list[Span]:
    """Calls that were let in, while they were in flight."""
    return [(call.started - began, call.ended - began) for call in calls if call.drawn]


def peak(spans: Sequence[Span]) -> int:
    """Most at once."""
    edges = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    most = now = 0
    for _, change in edges:
        now += change
        most = max(most, now)
    return most


def peak_second(moments: Sequence[float]) -> int:
    """Most within any one second; what is exactly a second apart is not within one."""
    ordered = sorted(moments)
    return max(
        (
            at - bisect.bisect_left(ordered, moment - _SECOND) + 1
            for at, moment in enumerate(ordered)
        ),
        default=0,
    )


def timeline(
    makespan: float,
    *,
    roadmaps: Sequence[Span],
    concepts: Sequence[Span],
    calls: Sequence[Span],
    events: Sequence[float],
    connections: Sequence[Sample],
    began: float,
) -> Timeline:
    """Everything on one grid."""
    step = max(_LEAST, makespan / _POINTS)
    grid = [number * step for number in range(int(makespan / step) + 2)]
    ordered = sorted(events)
    return Timeline(
        seconds=[round(at, 3) for at in grid],
        roadmaps=_at(grid, roadmaps),
        concepts=_at(grid, concepts),
        calls=_at(grid, calls),
        connections=_last(grid, connections, began),
        events=[
            float(bisect.bisect_right(ordered, at) - bisect.bisect_right(ordered, at - 1.0))
            for at in grid
        ],
    )


def _between(times: Iterable[tuple[str, float]]) -> list[Span]:
    spans: dict[str, Span] = {}
    for name, at in times:
        first, last = spans.get(name, (at, at))
        spans[name] = (min(first, at), max(last, at))
    return list(spans.values())


def _at(grid: Sequence[float], spans: Sequence[Span]) -> list[float]:
    starts = sorted(start for start, _ in spans)
    ends = sorted(end for _, end in spans)
    return [float(bisect.bisect_right(starts, at) - bisect.bisect_right(ends, at)) for at in grid]


def _last(grid: Sequence[float], samples: Sequence[Sample], began: float) -> list[float]:
    times = [sample.at - began for sample in samples]
    found: list[float] = []
    for at in grid:
        place = bisect.bisect_right(times, at) - 1
        found.append(float(samples[max(0, place)].connections) if samples else 0.0)
    return found
