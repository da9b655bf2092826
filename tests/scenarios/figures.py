"""The figures of a span of time, and checks against expected ranges."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass

from tests.scenarios.play import Seen
from tests.scenarios.scenario import Expect, Range

#: Seconds of one bucket, and buckets in a row, that settling is looked for in.
_BUCKET, _ROW = 10.0, 3
#: Part of the final rate at which it counts as settled.
_LEVEL = 0.85


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one span.

    Attributes:
        answered: calls answered a minute.
        refused: percent of the calls that reached the provider and were refused.
        peak: most calls in flight at the provider.
        settled: seconds from its beginning until 30 s in a row bring 85 % of what its second
            half brings.
        minute: most calls that the provider let in within 60 s.
        share: part of the answers that went to each load.
    """

    answered: float
    refused: float
    peak: float
    settled: float
    minute: float
    share: dict[str, float]


def figures(seen: Seen, since: float, until: float) -> Figures:
    """Measure a span."""
    answers = [(at, load) for at, load in seen.answered if since <= at < until]
    admitted = sorted((at, n) for at, n in seen.admitted if since <= at < until)
    refused = sum(since <= at < until for at in seen.refused)
    loads = Counter(load for _, load in answers)
    times = [at for at, _ in admitted]
    return Figures(
        answered=60 * len(answers) / (until - since),
        refused=100 * refused / max(1, refused + len(admitted)),
        peak=max((n for _, n in admitted), default=0),
        settled=_settled([at for at, _ in answers], since, until),
        minute=max((i + 1 - bisect_left(times, at - 60) for i, at in enumerate(times)), default=0),
        share={load: count / len(answers) for load, count in loads.items()},
    )


def _settled(answers: list[float], since: float, until: float) -> float:
    buckets = [0] * max(1, int((until - since) / _BUCKET))
    for at in answers:
        place = int((at - since) / _BUCKET)
        if place < len(buckets):
            buckets[place] += 1
    half = buckets[len(buckets) // 2 :]
    level = _LEVEL * sum(half) / len(half)
    for place in range(len(buckets)):
        row = buckets[place : place + _ROW]
        if sum(row) / len(row) >= level:
            return place * _BUCKET
    return until - since


def compared(expect: Expect, found: Figures) -> list[tuple[str, float, Range]]:
    """Each expected range beside its figure."""
    rows: list[tuple[str, float, Range]] = []
    for name in ("answered", "refused", "peak", "settled", "minute"):
        bounds = getattr(expect, name)
        if bounds is not None:
            rows.append((name, getattr(found, name), bounds))
    rows += [(f"share {load}", found.share.get(load, 0.0), b) for load, b in expect.share.items()]
    return rows


def loosened(name: str, bounds: Range) -> Range | None:
    """A range as it holds on a machine that has other work: never more, and perhaps less.

    Args:
        name: of the figure.
        bounds: in virtual time.

    Returns:
        ``None`` for what says nothing on such a machine.
    """
    low, high = bounds
    match name.partition(" ")[0]:
        case "answered":
            return 0.3 * low, 1.05 * high
        case "peak" | "minute":
            return 0.8 * low, high
        case "refused":
            return 0.1 * low, high + 1
        case "share":
            return 0.7 * low, 1.3 * high
        case _:
            return None
