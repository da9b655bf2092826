"""A limit that stays as it was set, and what limits have in common."""

from dataclasses import dataclass
from typing import Protocol

from paceline import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a limit learns when a permit comes back.

    Attributes:
        now: when, in seconds of a clock that only rises.
        seconds: how long the permit was out.
        in_flight: permits that were out, this one included.
        outcome: what came of the work.
    """

    now: float
    seconds: float
    in_flight: int
    outcome: Outcome


class Limit(Protocol):
    """A number that may follow what is observed."""

    @property
    def limit(self) -> int:
        """How many permits may be out at once, at least 1."""
        ...

    def observe(self, sample: Sample) -> None:
        """Take note of a permit that came back."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """A limit that stays as it was set."""

    limit: int

    def observe(self, sample: Sample) -> None:
        """Do nothing."""
