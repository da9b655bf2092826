"""A board in this process: what holders counted of a limit, and what was concluded."""

from collections import defaultdict
from collections.abc import Mapping

from paceline.contracts.ledger import Board


class InProcessBoard:
    """One limit's board. Time is an argument, in seconds of a clock that only rises."""

    def __init__(self, now: float) -> None:
        self._serial = 0
        self._state = ""
        self._totals: defaultdict[str, float] = defaultdict(float)
        self._since = now

    def note(self, now: float, counted: Mapping[str, float]) -> Board:
        """Add, and tell what there is."""
        for name, amount in counted.items():
            self._totals[name] += amount
        return Board(
            serial=self._serial,
            state=self._state,
            totals=dict(self._totals),
            seconds=now - self._since,
            now=now,
        )

    def conclude(self, now: float, *, serial: int, state: str) -> bool:
        """Begin anew with another state, unless somebody else did."""
        if serial != self._serial:
            return False
        self._serial += 1
        self._state, self._since = state, now
        self._totals.clear()
        return True
