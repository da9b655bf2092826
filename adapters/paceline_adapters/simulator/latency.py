"""Latencies of the simulated model."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from paceline_adapters.simulator import seeded


class LatencyRange(NamedTuple):
    """Latencies of one step in seconds, uniformly distributed."""

    low: float
    high: float


#: Name of the range for calls of unknown steps.
DEFAULT_STEP = "default"

#: Latencies of the steps in a real service.
DEFAULT_LATENCY: Mapping[str, LatencyRange] = {
    "tutorial": LatencyRange(20, 30),
    "resources": LatencyRange(15, 20),
    "quiz": LatencyRange(10, 15),
    DEFAULT_STEP: LatencyRange(1, 2),
}


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


def draw(
    latencies: Mapping[str, LatencyRange], *, seed: int, step: str, prompt: str, attempt: int
) -> float:
    """Seconds that this attempt at this prompt takes at speed 1."""
    low, high = latencies.get(step) or latencies[DEFAULT_STEP]
    return low + (high - low) * seeded.uniform(seed, "latency", step, prompt, attempt)
