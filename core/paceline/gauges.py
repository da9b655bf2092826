"""What this process is doing now: both layers, counted where they begin and end."""


class Gauges:
    """Counters of one worker process.

    Attributes:
        runs: ids of the runs in work.
        concepts: concepts in flight: admitted and not finished.
        calls: LLM attempts in flight: admitted and not answered.
        events: events published.
    """

    def __init__(self) -> None:
        self.runs: set[str] = set()
        self.concepts = 0
        self.calls = 0
        self.events = 0
