"""What this process is doing now: both layers, counted where they begin and end."""

from typing import Self


class Gauges:
    """Counters of one worker process.

    Attributes:
        runs: ids of the runs in work.
        concepts: concepts in flight: admitted and not finished.
        calls: LLM attempts in flight: admitted and not answered.
        waiting: concepts and calls that wait for admission.
        refusals: attempts that the provider refused.
        saved: artifacts saved.
        events: events published.
    """

    def __init__(self) -> None:
        self.runs: set[str] = set()
        self.concepts = 0
        self.calls = 0
        self.waiting = 0
        self.refusals = 0
        self.saved = 0
        self.events = 0

    def wait(self) -> "Gauges":
        """Count one wait for admission within ``with``."""
        return self

    def __enter__(self) -> Self:
        self.waiting += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.waiting -= 1
