"""Histograms of waiting times that can be added up over processes."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

#: Each bucket is this factor longer than the one before. A quantile is accurate to half of it.
_GROWTH = 1.1
#: Seconds of bucket 0; shorter waits count there.
_SHORTEST = 1e-6

#: Number of waits by bucket: plain integers, so that they can be sent as JSON.
WaitHistogram = Mapping[int, int]


def bucket_of(seconds: float) -> int:
    """The bucket that counts a wait."""
    return 0 if seconds <= _SHORTEST else round(math.log(seconds / _SHORTEST, _GROWTH))


def total(parts: Iterable[WaitHistogram]) -> WaitHistogram:
    """The sum of several processes' histograms."""
    added: Counter[int] = Counter()
    for part in parts:
        added.update(part)
    return dict(added)


def since(now: WaitHistogram, before: WaitHistogram) -> WaitHistogram:
    """The waits that were added after ``before`` was taken."""
    return {bucket: count - before.get(bucket, 0) for bucket, count in now.items()}


def quantile(histogram: WaitHistogram, share: float) -> float | None:
    """Seconds that this share of the waits took at most; ``None`` without any wait.

    Args:
        histogram: the waits.
        share: from 0 to 1, for example 0.99.
    """
    rank = math.ceil(share * sum(histogram.values())) or 1
    for bucket in sorted(histogram):
        rank -= histogram[bucket]
        if rank <= 0:
            return _SHORTEST * _GROWTH**bucket
    return None
