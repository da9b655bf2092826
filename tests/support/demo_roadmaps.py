"""The roadmaps of ``paceline demo``: 227 concepts in all."""

from pathlib import Path

ROADMAPS = sorted(
    (Path(__file__).parents[2] / "adapters/paceline_adapters/demo/roadmaps").glob("*.json")
)
