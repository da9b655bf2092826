"""How long something was waited for: counted in steps, so that processes can be added up."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

#: Each step is so much longer than the one before; a quantile is right to within half of it.
_GROWTH = 1.1
#: Seconds of step 0; what is shorter counts as that.
_SHORTEST = 1e-6

#: Waits by their step: plain numbers, so that they travel as JSON.
Counts = Mapping[int, int]


def step_of(seconds: float) -> int:
    """The step that a wait counts in."""
    return 0 if seconds <= _SHORTEST else round(math.log(seconds / _SHORTEST, _GROWTH))


def total(parts: Iterable[Counts]) -> Counts:
    """The waits of several processes together."""
    added: Counter[int] = Counter()
    for part in parts:
        added.update(part)
    return dict(added)


def since(now: Counts, before: Counts) -> Counts:
    """The waits that came after ``before`` was taken."""
    return {step: count - before.get(step, 0) for step, count in now.items()}


def quantile(counts: Counts, share: float) -> float | None:
    """Seconds that this share of the waits took at most; ``None`` where nobody waited.

    Args:
        counts: the waits.
        share: from 0 to 1, as 0.99.
    """
    rank = math.ceil(share * sum(counts.values())) or 1
    for step in sorted(counts):
        rank -= counts[step]
        if rank <= 0:
            return _SHORTEST * _GROWTH**step
    return None
