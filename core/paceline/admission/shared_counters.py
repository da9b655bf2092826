"""Shared counters within one process: sums of what holders counted, and the last decision."""

from collections import defaultdict
from collections.abc import Mapping

from paceline.contracts.admission.ledger import SharedCounters


class InProcessCounters:
    """The counters of one limit. Time is an argument, in seconds of a clock that only rises."""

    def __init__(self, now: float) -> None:
        self._version = 0
        self._state = ""
        self._totals: defaultdict[str, float] = defaultdict(float)
        self._since = now

    def add_counts(self, now: float, counts: Mapping[str, float]) -> SharedCounters:
        """Add to the sums, and return them."""
        for name, amount in counts.items():
            self._totals[name] += amount
        return SharedCounters(
            version=self._version,
            state=self._state,
            totals=dict(self._totals),
            seconds=now - self._since,
            now=now,
        )

    def commit_decision(self, now: float, *, version: int, state: str) -> bool:
        """Write a state and reset the sums, unless another decision came first."""
        if version != self._version:
            return False
        self._version += 1
        self._state, self._since = state, now
        self._totals.clear()
        return True
