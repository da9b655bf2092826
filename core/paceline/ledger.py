"""The ledger: the state of a limit that several workers share.

Every permit that a process holds is a lease here, which ends by itself when the process no
longer renews it. Waiters stay in their process; the ledger knows how many each process has,
so that a busy process leaves room for one that came later.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Grant:
    """What a reservation brought.

    Attributes:
        leases: ids of the leases granted, at most as many as were wanted.
        expires_in: seconds until the earliest lease of anybody ends, when some wait and
            none is free: ask again then at the latest.
    """

    leases: tuple[str, ...]
    expires_in: float | None = None


class Ledger(ABC):
    """Leases of named limits. All calls are made from one event loop."""

    #: Whether other processes see the same leases.
    shared: bool = False

    @abstractmethod
    async def exchange(
        self, limit: str, *, capacity: int, holder: str, wanted: int, settle: Sequence[str]
    ) -> Grant:
        """Give back and ask, in one step.

        Args:
            limit: the limit's name.
            capacity: how many leases may be out at once, over all holders.
            holder: who asks: one process.
            wanted: how many waiters the holder has; each wants one lease.
            settle: leases to give back first.

        Raises:
            PartUnavailable: the ledger cannot be reached; nothing is known of the outcome.
        """

    @abstractmethod
    async def renew(self, limit: str, *, holder: str, leases: Sequence[str]) -> Sequence[str]:
        """Prolong leases by the ledger's lease time; returns those that are lost.

        Raises:
            PartUnavailable: the ledger cannot be reached.
        """

    @abstractmethod
    async def changed(self, limit: str, *, holder: str, seconds: float) -> None:
        """Return when that holder may be granted something, or after ``seconds``.

        What became free since the holder's last ``exchange`` began counts, so nothing is
        missed between the two calls. It may return for nothing; it does not raise.
        """

    @abstractmethod
    async def held(self, limit: str) -> Mapping[str, int]:
        """How many leases each holder has now."""

    @property
    @abstractmethod
    def lease_seconds(self) -> float:
        """How long a lease lives without renewal."""

    async def check(self) -> str:
        """Reach the ledger, for ``paceline doctor``: one line about where it is.

        Raises:
            PartUnavailable: it cannot be reached.
        """
        return ""

    async def close(self) -> None:
        """Close what the ledger opened. Leases stay until they are settled or end."""


@dataclass(frozen=True, slots=True)
class Demand:
    """One holder as the arithmetic of ``share`` sees it, oldest waiter first."""

    held: int
    wanted: int


def share(
    capacity: int, *, mine: Demand, older: Sequence[Demand], younger: Sequence[Demand]
) -> int:
    """How many leases a holder gets now.

    Everybody's even share is the capacity divided by the holders that hold or want some, at
    least 1. Up to its share a holder takes what is free, less what those who wait longer
    still miss of theirs. Beyond its share it takes only what nobody else misses. So nothing
    stays free while somebody wants it, a burst that ends at once is not one holder's catch,
    and nobody waits for ever: who waits longest of those below their share comes first.

    Args:
        capacity: leases that may be out at once.
        mine: the holder that asks.
        older: the other holders that wait since before ``mine`` does.
        younger: all other holders.
    """
    others = [*older, *younger]
    active = 1 + sum(1 for other in others if other.held or other.wanted)
    even = max(1, capacity // active)
    free = capacity - mine.held - sum(other.held for other in others)
    left = free - sum(_missing(other, even) for other in older)
    within = max(0, min(_missing(mine, even), left))
    left -= within + sum(_missing(other, even) for other in younger)
    return within + max(0, min(mine.wanted - within, left))


def _missing(demand: Demand, even: int) -> int:
    return min(demand.wanted, max(0, even - demand.held))
