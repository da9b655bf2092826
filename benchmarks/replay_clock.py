"""A clock that replays the makespans that the engine measured.

pytest-benchmark runs one test after another and cannot interleave them. The engine measures
interleaved rounds first. Each test then replays the makespans of its cell, with a timer that only
advances when a round is replayed.
"""

from collections.abc import Callable, Sequence


class ReplayClock:
    """A clock that advances round by round."""

    def __init__(self) -> None:
        self._now = 0.0

    def clock(self) -> float:
        """Seconds replayed so far; the timer for pytest-benchmark."""
        return self._now

    def replay(self, seconds: Sequence[float]) -> Callable[[], None]:
        """A function that advances the clock by the next duration at each call."""
        rounds = iter(seconds)

        def advance() -> None:
            self._now += next(rounds)

        return advance


REPLAY_CLOCK = ReplayClock()
