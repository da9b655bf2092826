"""How long an answer takes."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from paceline_adapters.simulator import dice


class LatencyRange(NamedTuple):
    """Latencies of one step, uniform between both ends, in seconds."""

    low: float
    high: float


#: The name under which calls of no known step look up their range.
DEFAULT_STEP = "default"

#: What the steps took at the service whose load we repeat.
DEFAULT_LATENCY: Mapping[str, LatencyRange] = {
    "tutorial": LatencyRange(20, 30),
    "resources": LatencyRange(15, 20),
    "quiz": LatencyRange(10, 15),
    DEFAULT_STEP: LatencyRange(1, 2),
}


def parse_range(text: str) -> LatencyRange:
    """Read ``20-30`` or ``5``, in seconds.

    Raises:
        ValueError: it is no such range.
    """
    low, dash, high = text.partition("-")
    try:
        found = LatencyRange(float(low), float(high if dash else low))
    except ValueError:
        raise ValueError(
            f"{text!r} is no latency: give seconds, as in 5, or a range, as in 20-30"
        ) from None
    return checked(found)


def checked(found: LatencyRange) -> LatencyRange:
    """The range itself, once it is known to be one.

    Raises:
        ValueError: the ends are negative, endless or in the wrong order.
    """
    if not (0 <= found.low <= found.high and math.isfinite(found.high)):
        raise ValueError(
            f"{found.low:g}-{found.high:g} is no latency: "
            "the low end comes first, and neither is negative or endless"
        )
    return found


def draw(
    latencies: Mapping[str, LatencyRange], *, seed: int, step: str, prompt: str, attempt: int
) -> float:
    """Seconds that this attempt at this prompt takes at speed 1."""
    low, high = latencies.get(step) or latencies[DEFAULT_STEP]
    return low + (high - low) * dice.uniform(seed, "latency", step, prompt, attempt)
