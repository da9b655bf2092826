"""Latencies of the simulated model."""

from collections.abc import Mapping

from paceline.contracts.latency_range import LatencyRange

from paceline_adapters.simulator import seeded

#: Name of the range for calls of unknown steps.
DEFAULT_STEP = "default"

#: Latencies of the steps in a real service.
DEFAULT_LATENCY: Mapping[str, LatencyRange] = {
    "tutorial": LatencyRange(20, 30),
    "resources": LatencyRange(15, 20),
    "quiz": LatencyRange(10, 15),
    DEFAULT_STEP: LatencyRange(1, 2),
}


def draw(
    latencies: Mapping[str, LatencyRange], *, seed: int, step: str, prompt: str, attempt: int
) -> float:
    """Seconds that this attempt at this prompt takes at speed 1."""
    low, high = latencies.get(step) or latencies[DEFAULT_STEP]
    return low + (high - low) * seeded.uniform(seed, "latency", step, prompt, attempt)
