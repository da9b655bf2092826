"""The calls of a benchmark round, from which a strategy computes its lower bound."""

from collections.abc import Sequence
from typing import NamedTuple


class PlannedCall(NamedTuple):
    """One call of a concept.

    Attributes:
        seconds: how long the provider takes to answer.
        tokens: tokens that the call is charged against a quota.
    """

    seconds: float
    tokens: int


#: The concepts of one roadmap; the calls of a concept follow one another.
PlannedRoadmap = Sequence[Sequence[PlannedCall]]
