"""A clock that replays what the engine measured.

pytest-benchmark measures one test after the other and cannot interleave them. Our engine
measures interleaved rounds beforehand; each test then "takes" the seconds of its cell's rounds,
by a timer that only moves when a round is played.
"""

from collections.abc import Callable, Sequence


class ReplayClock:
    """Time that passes round by round."""

    def __init__(self) -> None:
        self._now = 0.0

    def clock(self) -> float:
        """Seconds played until now: what pytest-benchmark takes for its timer."""
        return self._now

    def player(self, seconds: Sequence[float]) -> Callable[[], None]:
        """A function that takes the next of these durations each time it is called."""
        rounds = iter(seconds)

        def play() -> None:
            self._now += next(rounds)

        return play


REPLAY_CLOCK = ReplayClock()
