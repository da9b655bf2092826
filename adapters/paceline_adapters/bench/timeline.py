"""Both layers over time: what started and ended when, as step functions on a grid."""

import bisect
from collections.abc import Iterable, Sequence

from paceline_adapters.bench.observation import ReceivedEvent
from paceline_adapters.bench.probes.calls import Call
from paceline_adapters.bench.results import Timeline

#: Points of a timeline, and the minimum number of seconds between two of them.
_POINTS, _MIN_STEP = 200, 0.05

#: A second, less the rounding error of times since 1970.
_SECOND = 1.0 - 1e-5

#: Start and end, in seconds since the first submission.
Span = tuple[float, float]


def roadmap_spans(events: Iterable[ReceivedEvent], started: float) -> list[Span]:
    """Runs between their first and last event."""
    return _between((event.run_id, event.at - started) for event in events)


def concept_spans(events: Iterable[ReceivedEvent], started: float) -> list[Span]:
    """Concepts between their first and last event."""
    return _between(
        (f"{event.run_id}/{event.concept_id}", event.at - started)
        for event in events
        if event.concept_id is not None
    )


def spans_of_calls(calls: Iterable[Call], started: float, *, by_roadmap: bool) -> list[Span]:
    """Roadmaps or concepts between their first and last call, for programs without events."""
    times: list[tuple[str, float]] = []
    for call in calls:
        name = call.roadmap if by_roadmap else f"{call.roadmap}/{call.concept}"
        times += [(name, call.started - started), (name, call.ended - started)]
    return _between(times)


def call_spans(calls: Iterable[Call], started: float) -> list[Span]:
    """Admitted calls, while they were in flight."""
    return [(call.started - started, call.ended - started) for call in calls if call.drawn]


def peak(spans: Sequence[Span]) -> int:
    """Maximum number at once."""
    edges = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    highest = now = 0
    for _, change in edges:
        now += change
        highest = max(highest, now)
    return highest


def peak_second(times: Sequence[float]) -> int:
    """Maximum number within one second; times exactly a second apart do not count."""
    ordered = sorted(times)
    return max(
        (index - bisect.bisect_left(ordered, at - _SECOND) + 1 for index, at in enumerate(ordered)),
        default=0,
    )


def timeline(
    makespan: float,
    *,
    roadmaps: Sequence[Span],
    concepts: Sequence[Span],
    calls: Sequence[Span],
    events: Sequence[float],
    connections: Sequence[tuple[float, int]],
) -> Timeline:
    """Everything on one grid; times are seconds since the first submission.

    Args:
        makespan: length of the round.
        roadmaps: when each roadmap was active.
        concepts: when each concept was in flight.
        calls: when each call was in flight.
        events: times of the events.
        connections: times of samples, in order, and the connections that were open then.
    """
    step = max(_MIN_STEP, makespan / _POINTS)
    grid = [number * step for number in range(int(makespan / step) + 2)]
    ordered = sorted(events)
    return Timeline(
        seconds=[round(at, 3) for at in grid],
        roadmaps=_at(grid, roadmaps),
        concepts=_at(grid, concepts),
        calls=_at(grid, calls),
        connections=_last(grid, connections),
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


def _last(grid: Sequence[float], samples: Sequence[tuple[float, int]]) -> list[float]:
    times = [at for at, _ in samples]
    found: list[float] = []
    for at in grid:
        index = bisect.bisect_right(times, at) - 1
        found.append(float(samples[max(0, index)][1]) if samples else 0.0)
    return found
