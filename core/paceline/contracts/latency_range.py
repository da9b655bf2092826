"""A range of latencies, as users write it: ``20-30``."""

import math
from typing import NamedTuple


class LatencyRange(NamedTuple):
    """Latencies of one step in seconds, uniformly distributed."""

    low: float
    high: float


def parse_range(text: str) -> LatencyRange:
    """Read ``20-30`` or ``5``, in seconds.

    Raises:
        ValueError: the text has another form.
    """
    low, dash, high = text.partition("-")
    try:
        found = LatencyRange(float(low), float(high if dash else low))
    except ValueError:
        raise ValueError(
            f"a latency must be seconds, such as 5, or a range, such as 20-30, got {text!r}"
        ) from None
    return checked(found)


def checked(found: LatencyRange) -> LatencyRange:
    """Check a range and return it.

    Raises:
        ValueError: a bound is negative or infinite, or the bounds are in the wrong order.
    """
    if not (0 <= found.low <= found.high and math.isfinite(found.high)):
        raise ValueError(
            "a latency range must be LOW-HIGH with finite values of at least 0, "
            f"got {found.low:g}-{found.high:g}"
        )
    return found
