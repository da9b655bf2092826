"""Counts of calls and waits since a process started, so that they can be added up."""

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Upper bounds of the buckets of ``Durations``, in seconds. One more bucket holds the longer ones.
BOUNDS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 300.0, 3600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """A histogram of durations.

    Attributes:
        buckets: number of durations in each bucket of ``BOUNDS``, without those of the buckets
            before it; the last number counts the longer ones. Empty if there were none.
        seconds: sum of the durations.
    """

    buckets: tuple[int, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCounts:
    """The attempts at one model.

    Attributes:
        answered: seconds that whole answers took.
        refused: number of attempts that the provider refused.
        failed: number of other failed attempts, by the name of the error in ``paceline.errors``.
            An answer that could not be used counts as ``UnusableAnswer``, and as answered.
    """

    answered: Durations = Durations()
    refused: int = 0
    failed: Mapping[str, int] = field(default_factory=dict[str, int])
